import { readFile } from "node:fs/promises";
import { isMap, isSeq, LineCounter, type ParsedNode, parseDocument, visit } from "yaml";
import type { z } from "zod";
import { ApplianceError } from "../errors.ts";
import { describeIssue, formatKey, valueAt } from "./describe-issue.ts";
import { type Config, configSchema } from "./schema.ts";

/** One thing to mend: `message` says what is wrong and, behind a semicolon, what to do. Line 0 stands for the file as a whole. */
export type ConfigProblem = { line: number; key: string; message: string };

/**
 * The configuration in the file, defaults filled in and everything checked.
 * CONFIG_INVALID lists every problem, one per line as `file:line: key: what; remedy`,
 * and carries them in `details.problems`.
 */
export async function loadConfig(path: string): Promise<Config> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw invalid(path, [{ line: 0, key: "", message: describeReadError(error as NodeJS.ErrnoException) }], error);
  }
  return parseConfig(text, path);
}

/** The same for a text in hand; `path` is only what messages call it. */
export function parseConfig(text: string, path: string): Config {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems: ConfigProblem[] = [];
  let readable = true;
  const note = (offset: number, message: string) =>
    problems.push({ line: lines.linePos(offset).line, key: "", message });
  for (const { code, message, pos } of [...document.errors, ...document.warnings]) {
    if (code === "DUPLICATE_KEY")
      note(pos[0], `${/^[^\s:,}]*/.exec(text.slice(pos[0]))} appears twice in one mapping; keep one of them`);
    else {
      readable = false;
      note(pos[0], `not YAML: ${message}; compare the indentation, quotes and colons with the lines around`);
    }
  }
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document)) return;
      readable = false;
      note(alias.range![0], `there is no anchor &${alias.source} above; write the value itself`);
    },
  });
  if (!readable) throw invalid(path, problems);

  let value: unknown;
  try {
    value = document.toJS() ?? {};
  } catch (error) {
    // Aliases of aliases that would fill the memory.
    throw invalid(path, [{ line: 0, key: "", message: `not YAML: ${(error as Error).message}` }], error);
  }
  for (const issue of findIssues(value))
    for (const found of describeIssue(issue, value))
      problems.push({
        line: lineOf(document.contents, found.path, lines),
        key: formatKey(found.path),
        message: found.message,
      });
  if (problems.length > 0) throw invalid(path, problems);
  return configSchema.parse(value);
}

/** Every issue; unknown keys alone must not hide what the cross checks have to say. */
function findIssues(value: unknown): z.core.$ZodIssue[] {
  const all = configSchema.safeParse(value).error?.issues ?? [];
  const unknown = all.filter((issue) => issue.code === "unrecognized_keys");
  if (unknown.length === 0) return all;
  const pruned = structuredClone(value);
  for (const issue of unknown) {
    const parent = valueAt(pruned, issue.path) as Record<string, unknown>;
    for (const key of issue.keys) delete parent[key];
  }
  return [...unknown, ...(configSchema.safeParse(pruned).error?.issues ?? [])];
}

/** The line of the key, or of the innermost mapping around it that the file has. */
function lineOf(root: ParsedNode | null, path: PropertyKey[], lines: LineCounter): number {
  let node: unknown = root;
  let offset = root?.range[0] ?? 0;
  for (const segment of path) {
    if (isMap<ParsedNode, ParsedNode>(node)) {
      const pair = node.items.find(({ key }) => String(key) === String(segment));
      if (!pair) break;
      offset = pair.key.range[0];
      node = pair.value;
    } else if (isSeq<ParsedNode>(node)) {
      const item = node.items[Number(segment)];
      if (!item) break;
      offset = item.range[0];
      node = item;
    } else break;
  }
  return lines.linePos(offset).line;
}

function invalid(path: string, problems: ConfigProblem[], cause?: unknown): ApplianceError {
  const sorted = problems.toSorted((one, other) => one.line - other.line);
  const text = sorted.map(({ line, key, message }) =>
    [line > 0 ? `${path}:${line}` : path, ...(key ? [key] : []), message].join(": "),
  );
  return new ApplianceError("CONFIG_INVALID", text.join("\n"), { details: { file: path, problems: sorted }, cause });
}

function describeReadError(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ENOENT":
      return "there is no such file; copy systemd/ingot.yaml.example there, or name another file with --config";
    case "EACCES":
      return "the file may not be read; let the user that runs ingotd read it (chgrp ingot, chmod 0640)";
    case "EISDIR":
      return "that is a directory; name the file";
    default:
      return `the file can't be read (${error.code}); mend the cause or name another file with --config`;
  }
}
