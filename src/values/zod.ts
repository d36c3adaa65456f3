import { z } from "zod";
import { isApplianceError } from "../errors.ts";

/** A schema for a value that is written as text and has its own parser: the parser's message and remedy become the issue. */
export function parsed<T>(parse: (text: string) => T): z.ZodType<T, string | T> {
  return z.union([z.string(), z.custom<T>((value) => typeof value !== "string")]).transform((text, context) => {
    if (typeof text !== "string") return text as T;
    try {
      return parse(text);
    } catch (error) {
      if (!isApplianceError(error)) throw error;
      const remedy = error.details.remedy ? `; ${error.details.remedy}` : "";
      context.addIssue({ code: "custom", message: error.message.replace(/^[^:"]*: /, "") + remedy });
      return z.NEVER;
    }
  }) as unknown as z.ZodType<T, string | T>;
}

/** A SHA-256 in hex. */
export const sha256Field = z.string().regex(/^[0-9a-fA-F]{64}$/, "a SHA-256 has 64 hex digits");
