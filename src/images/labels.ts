import { ApplianceError } from "../errors.ts";
import { parseLine } from "../values/line.ts";

/** What operators note of an image. */
export type Labels = Record<string, string>;

const MAX_LABELS = 32;
const MAX_VALUE = 255;
const KEY_PATTERN = /^[a-z0-9](?:[a-z0-9._/-]{0,61}[a-z0-9])?$/;

/** Labels with changes applied: a value sets, null takes away. INVALID, naming the label, for what can't be one, and for more than 32. */
export function changedLabels(labels: Labels, changes: Record<string, string | null>): Labels {
  const changed = new Map(Object.entries(labels));
  for (const [key, value] of Object.entries(changes)) {
    if (!KEY_PATTERN.test(key)) {
      throw invalid(key, "can't be a label", "use 1 to 63 lower-case letters, digits, and ._/- between them");
    }
    if (value === null) changed.delete(key);
    else changed.set(key, parseLine(value, `labels.${key}`, MAX_VALUE));
  }
  if (changed.size > MAX_LABELS) {
    throw invalid(String(changed.size), `are more labels than ${MAX_LABELS}`, "take some away: KEY-");
  }
  return Object.fromEntries(changed);
}

function invalid(value: string, what: string, remedy: string): ApplianceError {
  const shown = value.slice(0, 80);
  return new ApplianceError("INVALID", `labels: "${shown}" ${what}`, {
    details: { field: "labels", value: shown, remedy },
  });
}
