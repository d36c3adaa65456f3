import { z } from "@hono/zod-openapi";
import { parsed } from "../../values/zod.ts";

/** A field that is written as text and has its own parser. */
export function written<T>(parse: (text: string) => T) {
  return z.string().pipe(parsed<T>(parse) as z.ZodType<T, string>);
}

type Exact<T> = T extends string
  ? T
  : T extends (infer Item)[]
    ? Exact<Item>[]
    : T extends object
      ? { [Key in keyof T]: Exact<Exclude<T[Key], undefined>> }
      : T;

/** A checked body with the type that verbs take: JSON knows no undefined, what is left out is absent. */
export function exact<T>(body: T): Exact<T> {
  return body as Exact<T>;
}
