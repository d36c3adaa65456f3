import { z } from "zod";
import { nearest } from "./nearest.ts";
import { configSchema } from "./schema.ts";

/** `networks[0].pool[1].from` */
export function formatKey(path: readonly PropertyKey[]): string {
  return path
    .map((one) => (typeof one === "number" ? `[${one}]` : `.${String(one)}`))
    .join("")
    .replace(/^\./, "");
}

/** What zod found in `root`, judged by `schema`, in an operator's words: one sentence per key, the remedy behind the semicolon. */
export function describeIssue(
  issue: z.core.$ZodIssue,
  root: unknown,
  schema: z.core.$ZodType = configSchema,
): { path: PropertyKey[]; message: string }[] {
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => ({
      path: [...issue.path, key],
      message: describeUnknownKey(key, keysAt(schema, issue.path)),
    }));
  if (issue.code === "invalid_union")
    return meant(issue).flatMap((one) => describeIssue({ ...one, path: [...issue.path, ...one.path] }, root, schema));
  return [{ path: issue.path, message: describeValue(issue, valueAt(root, issue.path)) }];
}

/** What is wrong with the choice that the value comes closest to: the first whose type it has, else the first. */
function meant({ errors }: z.core.$ZodIssueInvalidUnion): z.core.$ZodIssue[] {
  const isOfType = (issues: z.core.$ZodIssue[]) =>
    !issues.some((one) => one.code === "invalid_type" && one.path.length === 0);
  return errors.find(isOfType) ?? errors[0] ?? [];
}

/** What stands at a path of plain data; undefined where the path leads nowhere. */
export function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((inner, segment) => (inner as Record<PropertyKey, unknown> | undefined)?.[segment], root);
}

function describeValue(issue: z.core.$ZodIssue, value: unknown): string {
  if (issue.code === "custom") return issue.message;
  if (value === undefined) return "is missing; add it";
  if (value === null) return "has no value; give it one or remove the key";
  const shown = JSON.stringify(value);
  switch (issue.code) {
    case "invalid_type":
      return `${shown} is ${kindOf(value, issue.expected)}; ${EXPECTED[issue.expected] ?? `write ${issue.expected}`}`;
    case "invalid_value": {
      const words = issue.values.map(String);
      const meant = nearest(String(value), words);
      return `${shown} is not a choice; ${meant ? `did you mean "${meant}"? The choices are` : "choose among"} ${words.join(", ")}`;
    }
    case "too_small":
      return issue.origin === "array"
        ? `needs at least ${issue.minimum} entry; add one`
        : `${shown} is too small; write ${issue.inclusive ? "at least" : "more than"} ${issue.minimum}`;
    case "too_big":
      return `${shown} is too large; write ${issue.inclusive ? "at most" : "less than"} ${issue.maximum}`;
    default:
      return `${shown} does not fit; ${issue.message}`;
  }
}

function kindOf(value: unknown, expected: string): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string") return "text";
  if (expected === "int") return "a fraction";
  return typeof value === "object" ? "a mapping" : `a ${typeof value}`;
}

const EXPECTED: Partial<Record<string, string>> = {
  string: "write text, in quotes if it looks like a number",
  number: "write a number, without quotes",
  int: "write a whole number",
  object: "write a mapping of keys below it",
  array: "write a list, each entry after a dash",
};

function describeUnknownKey(key: string, known: string[]): string {
  const meant = nearest(key, known);
  return meant ? `unknown key; did you mean "${meant}"?` : `unknown key; the keys here are ${known.join(", ")}`;
}

/** The keys that a schema has under a path; of a union, those of all its members. */
function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  const here = unwrap(schema);
  if (here instanceof z.ZodUnion) return [...new Set(here.options.flatMap((option) => keysAt(option, path)))];
  const [segment, ...rest] = path;
  if (segment === undefined) return here instanceof z.ZodObject ? Object.keys(here.shape) : [];
  const next =
    here instanceof z.ZodObject ? here.shape[String(segment)] : here instanceof z.ZodArray ? here.element : undefined;
  return next ? keysAt(next, rest) : [];
}

/** The schema inside defaults and optionals. */
export function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  return isWrapper(schema) ? unwrap(schema.unwrap()) : schema;
}

/** Whether the schema only says what to do when the value is missing. */
export function isWrapper(schema: z.core.$ZodType): schema is z.ZodDefault | z.ZodPrefault | z.ZodOptional {
  return schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional;
}
