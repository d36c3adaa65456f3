import { ApplianceError } from "../../../errors.ts";

/** How the bytes of an option's value are to be understood. `field` names the option in errors. */
export type Shape<T> = {
  /** Throws INVALID for bytes that aren't of this shape. */
  decode(bytes: Uint8Array, field: string): T;
  /** Throws INVALID for a value that bytes can't carry. */
  encode(value: T, field: string): Uint8Array;
  /** One line for logs and fixtures: no control characters, no secrets. */
  format(value: T): string;
};

/** The INVALID that a shape throws: which option, and what is wrong with it. */
export function malformed(field: string, reason: string): ApplianceError {
  return new ApplianceError("INVALID", `DHCP option ${field}: ${reason}`, { details: { field } });
}

/** Throws INVALID unless there are `count` bytes exactly. */
export function expectLength(bytes: Uint8Array, count: number, field: string): void {
  if (bytes.length !== count) throw malformed(field, `${bytes.length} bytes where ${count} belong`);
}

/** Throws INVALID unless there are one or more groups of `size` bytes. */
export function expectGroups(bytes: Uint8Array, size: number, field: string): void {
  if (bytes.length === 0 || bytes.length % size !== 0) {
    throw malformed(field, `${bytes.length} bytes aren't one or more groups of ${size}`);
  }
}
