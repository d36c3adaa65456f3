import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { unwrap } from "./describe-issue.ts";
import { factsOf } from "./document.ts";
import { type Config, configSchema } from "./schema.ts";

type Mapping = Record<string, unknown>;

/**
 * Takes over from `next` what may change while the appliance runs, into the `live` configuration that every part reads,
 * and answers the keys that differ and wait for a restart (`networks[prov].subnet`). A network is found by its name.
 */
export function adoptConfig(live: Config, next: Config): string[] {
  return adoptMapping(configSchema, live, next, "");
}

function adoptMapping(schema: z.core.$ZodType, live: Mapping, next: Mapping, prefix: string): string[] {
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape).flatMap(([name, outer]) => {
    const key = prefix ? `${prefix}.${name}` : name;
    const inner = unwrap(outer);
    const [before, after] = [live[name], next[name]];
    // a section that came or went is taken as a whole, below
    if (inner instanceof z.ZodObject && before !== undefined && after !== undefined)
      return adoptMapping(inner, before as Mapping, after as Mapping, key);
    if (isNamedList(inner)) return adoptNamed(unwrap(inner.element), before as Mapping[], after as Mapping[], key);
    if (isDeepStrictEqual(before, after)) return [];
    if (factsOf(outer).restart === true) return [key];
    if (after === undefined) delete live[name];
    else live[name] = after;
    return [];
  });
}

/** Entries of a list that have names; one that came or went is a change of the whole list. */
function adoptNamed(schema: z.core.$ZodType, live: Mapping[], next: Mapping[], key: string): string[] {
  const names = (list: Mapping[]) => list.map((one) => one.name);
  if (!isDeepStrictEqual(names(live), names(next))) return [key];
  return live.flatMap((one, index) => adoptMapping(schema, one, next[index] as Mapping, `${key}[${one.name}]`));
}

function isNamedList(schema: z.core.$ZodType): schema is z.ZodArray {
  if (!(schema instanceof z.ZodArray)) return false;
  const element = unwrap(schema.element);
  return element instanceof z.ZodObject && "name" in element.shape;
}
