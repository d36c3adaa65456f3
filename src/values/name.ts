import { ApplianceError } from "../errors.ts";

/** What people call nodes, images, disks and networks: they fit file names, URLs and host names. */
export const NAME_PATTERN = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;

const collator = new Intl.Collator("en", { numeric: true });

/** Sorts as people count: node-2 before node-10. */
export function byName(left: { name: string }, right: { name: string }): number {
  return collator.compare(left.name, right.name);
}

/** The name itself; INVALID with the rule in it otherwise. */
export function parseName(text: string, field = "name"): string {
  if (!NAME_PATTERN.test(text)) {
    throw new ApplianceError("INVALID", `${field}: "${text}" can't be a name`, {
      details: {
        field,
        value: text,
        remedy:
          "use 1 to 63 lower-case letters, digits, dots, dashes or underscores; begin and end with a letter or digit",
      },
    });
  }
  return text;
}

/** The wished name, or that with the first number behind it that makes it a free one. */
export function freeName(wished: string, isTaken: (name: string) => boolean): string {
  let name = wished;
  // the longest names have 63 letters
  for (let serial = 2; isTaken(name); serial++) name = `${wished.slice(0, 58)}-${serial}`;
  return name;
}
