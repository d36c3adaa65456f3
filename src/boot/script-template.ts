import { readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { ApplianceError } from "../errors.ts";

/** Where the templates of this installation are. */
const SCRIPTS_DIRECTORY = resolve(import.meta.dirname, "../../ipxe-scripts");

/** One word of an iPXE command: nothing that iPXE expands (`$`), splits (blanks), takes for an option (`-`) or a comment. */
const WORD = /^[A-Za-z0-9._:/+=@%][A-Za-z0-9._:/+=@%-]*$/;
const WORD_OR_NOTHING = new RegExp(`${WORD.source}|^$`);
/** Lines that were rendered from another template. */
const LINES = /^[\x20-\x7e\n]*$/;

/** Every variable that a template may use, and what its value must look like. */
const VARIABLES = {
  again: LINES,
  portals: LINES,
  askedOn: WORD,
  disk: WORD,
  file: WORD,
  initiator: WORD,
  iqn: WORD,
  lun: /^[0-9a-f]{1,4}$/,
  mac: /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/,
  mode: WORD,
  network: WORD,
  node: WORD,
  port: /^[1-9]\d{0,4}$/,
  portal: /^[\d.]{7,15}$/,
  reverseSecret: WORD_OR_NOTHING,
  reverseUser: WORD_OR_NOTHING,
  scriptUrl: /^http:\/\/[\w.:/-]+(\?token=[\w-]+)?$/,
  secret: WORD,
  server: /^[\d.]{7,15}$/,
  user: WORD,
} as const satisfies Record<string, RegExp>;

export type ScriptVariable = keyof typeof VARIABLES;
export type ScriptValues = { [Name in ScriptVariable]?: string };

/** Templates by name: `hold` for hold.ipxe, `again.part` for again.part.ipxe. */
export type ScriptTemplates = ReadonlyMap<string, string>;

/** Reads every template of a directory. INTERNAL for a variable that does not exist. */
export function loadScriptTemplates(directory: string = SCRIPTS_DIRECTORY): ScriptTemplates {
  const files = readdirSync(directory).filter((file) => file.endsWith(".ipxe"));
  return new Map(
    files.map((file) => {
      const text = readFileSync(join(directory, file), "utf8");
      for (const [, name] of text.matchAll(/\{\{(.*?)\}\}/g)) {
        if (!isVariable(name!)) throw broken(file, `there is no variable "${name}"`);
      }
      return [basename(file, ".ipxe"), text];
    }),
  );
}

/**
 * The template with its variables filled in. INTERNAL, with the variable's name and never its value, when one is
 * missing or would mean something else to iPXE than one word.
 */
export function renderScript(templates: ScriptTemplates, template: string, values: ScriptValues): string {
  const text = templates.get(template);
  if (text === undefined) throw broken(template, "there is no such template");
  return text.replace(/\{\{(.*?)\}\}/g, (_match, name: ScriptVariable) => {
    const value = values[name];
    if (value === undefined) throw broken(template, `the variable "${name}" has no value`);
    if (!VARIABLES[name].test(value)) throw broken(template, `the value of "${name}" does not fit into a script`);
    return value;
  });
}

function isVariable(name: string): name is ScriptVariable {
  return Object.hasOwn(VARIABLES, name);
}

function broken(template: string, why: string): ApplianceError {
  return new ApplianceError("INTERNAL", `iPXE script ${template}: ${why}`, { details: { template } });
}
