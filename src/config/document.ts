import { readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { isWrapper, unwrap } from "./describe-issue.ts";
import { configSchema } from "./schema.ts";

/**
 * The README's table of configuration keys, made from the schema.
 * usage: node src/config/document.ts [--write README.md]
 */

const BEGIN = "<!-- config:begin -->";
const END = "<!-- config:end -->";

type Row = { key: string; type: string; fallback: string; restart: boolean; description: string };

/** One row per key, `networks[].pool[].from` for keys of list entries, in the schema's order. */
export function configRows(): Row[] {
  return rowsOf(configSchema, "", undefined, false);
}

/** The rows as a Markdown table. */
export function configTable(): string {
  const lines = configRows().map(({ key, type, fallback, restart, description }) =>
    [`\`${key}\``, type, fallback, restart ? "restart" : "", description].join(" | ").replace(/ {2,}/g, " "),
  );
  return ["Key | Type | Default | Change | Meaning", "--- | --- | --- | --- | ---", ...lines].join("\n");
}

/** The document with its table, between the two markers, up to date; unchanged where it has no markers. */
export function withConfigTable(document: string): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin) return document;
  return `${document.slice(0, begin)}${BEGIN}\n\n${configTable()}\n\n${document.slice(end)}`;
}

/** `waits`: the list around these keys changes as a whole, at a restart; entries with names are compared one by one. */
function rowsOf(schema: z.core.$ZodType, prefix: string, defaults: unknown, waits: boolean): Row[] {
  if (schema instanceof z.ZodArray) {
    const element = unwrap(schema.element);
    const isNamed = element instanceof z.ZodObject && "name" in element.shape;
    return rowsOf(element, `${prefix}[]`, undefined, waits && !isNamed);
  }
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape).flatMap(([name, outer]) => {
    const key = prefix ? `${prefix}.${name}` : name;
    const inner = unwrap(outer);
    const facts = factsOf(outer);
    const fallback = (defaults as Record<string, unknown> | undefined)?.[name] ?? defaultOf(outer);
    const row: Row = {
      key,
      type: typeOf(inner),
      fallback: formatDefault(fallback, outer, inner),
      restart: waits || facts.restart === true,
      description: String(facts.description ?? ""),
    };
    return [row, ...rowsOf(inner, key, fallback, row.restart)];
  });
}

/** What the schema and the wrappers around it say of themselves, the outermost last. */
export function factsOf(schema: z.core.$ZodType): Record<string, unknown> {
  const own = z.globalRegistry.get(schema) ?? {};
  const inner = isWrapper(schema) ? factsOf(schema.unwrap()) : {};
  return { ...inner, ...own };
}

function defaultOf(schema: z.core.$ZodType): unknown {
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? schema.def.defaultValue : undefined;
}

function formatDefault(fallback: unknown, outer: z.core.$ZodType, inner: z.core.$ZodType): string {
  if (inner instanceof z.ZodObject && fallback !== undefined) return "";
  if (fallback !== undefined) return `\`${typeof fallback === "string" ? fallback : JSON.stringify(fallback)}\``;
  return outer instanceof z.ZodOptional ? "none" : "required";
}

function typeOf(schema: z.core.$ZodType): string {
  const { kind } = factsOf(schema);
  if (typeof kind === "string") return kind;
  if (schema instanceof z.ZodEnum) return schema.options.map((one) => `\`${one}\``).join(", ");
  if (schema instanceof z.ZodArray) {
    const element = unwrap(schema.element);
    return element instanceof z.ZodObject ? "list" : `list of ${typeOf(element)}`;
  }
  if (schema instanceof z.ZodObject) return "mapping";
  if (schema instanceof z.ZodNumber) return `${schema.minValue} to ${schema.maxValue}`;
  if (schema instanceof z.ZodBoolean) return "`true`, `false`";
  return "text";
}

if (import.meta.main) {
  const [option, path] = process.argv.slice(2);
  if (option === "--write" && path) writeFileSync(path, withConfigTable(readFileSync(path, "utf8")));
  else console.log(configTable());
}
