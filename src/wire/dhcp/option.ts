import { isApplianceError } from "../../errors.ts";
import { formatHex } from "./shapes/bytes.ts";
import type { Shape } from "./shapes/shape.ts";
import type { Options } from "./tlv.ts";

/** An option that we know: its code, its name, and how to understand its value. */
export type Option<T> = {
  readonly code: number;
  readonly name: string;
  /** `leaseSeconds (51)`, for errors. */
  readonly label: string;
  readonly shape: Shape<T>;
};

type Row<T> = readonly [code: number, shape: Shape<T>];
type Rows = Record<string, Row<unknown>>;
type Table<R extends Rows> = { readonly [Name in keyof R]: R[Name] extends Row<infer T> ? Option<T> : never };

/** A table of options, keyed by name, from rows of code and shape. */
export function optionTable<const R extends Rows>(rows: R): Table<R> {
  return Object.fromEntries(
    Object.entries(rows).map(([name, [code, shape]]) => [name, { code, name, label: `${name} (${code})`, shape }]),
  ) as Table<R>;
}

/** The value of an option, undefined if it isn't there. INVALID, with its name, if it is malformed. */
export function readOption<T>(options: ReadonlyMap<number, Uint8Array>, option: Option<T>): T | undefined {
  const value = options.get(option.code);
  return value && option.shape.decode(value, option.label);
}

/** The value of an option that one can do without: undefined if it isn't there or malformed. */
export function tryReadOption<T>(options: ReadonlyMap<number, Uint8Array>, option: Option<T>): T | undefined {
  try {
    return readOption(options, option);
  } catch (error) {
    if (isApplianceError(error, "INVALID")) return undefined;
    throw error;
  }
}

/** Sets an option, replacing its value. INVALID, with its name, for a value that doesn't fit; nothing is changed then. */
export function writeOption<T>(options: Options, option: Option<T>, value: T): void {
  options.set(option.code, option.shape.encode(value, option.label));
}

/** `code name value` of each option: hex for the ones that `known` lacks, and for malformed values, which are marked. */
export function formatOptions(options: Options, known: ReadonlyMap<number, Option<unknown>>): string[] {
  return Array.from(options, ([code, value]) => {
    const option = known.get(code);
    if (!option) return `${code} ${formatHex(value)}`;
    const read = tryReadOption(options, option);
    return `${code} ${option.name} ${read === undefined ? `malformed ${formatHex(value)}` : option.shape.format(read)}`;
  });
}
