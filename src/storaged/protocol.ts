import { z } from "zod";
import { ApplianceError, ERROR_KINDS, type ErrorCode } from "../errors.ts";

/**
 * What ingotd and ingot-storaged say to each other over a unix socket: one JSON object a line.
 * Calls run side by side and are told apart by `id`, which the client chooses. A verb that answers bytes has a connection to
 * itself: its `ok` is followed by frames (frames.ts), and then the end.
 */

/** Longest line either way: tens of thousands of targets fit. */
export const MAX_REQUEST_BYTES = 64 * 1024;
export const MAX_RESPONSE_BYTES = 64 * 1024 * 1024;

const id = z.number().int().nonnegative();

/** Client to server: a call (`as`: the appliance that makes it), or the wish that one ends. A cancelled call is answered too, once nothing of it runs. */
export const requestSchema = z.union([
  z.strictObject({ id, verb: z.string(), args: z.unknown(), as: z.string().max(63).exactOptional() }),
  z.strictObject({ cancel: id }),
]);
export type Request = z.output<typeof requestSchema>;

const wireErrorSchema = z.object({
  code: z.enum(Object.keys(ERROR_KINDS) as [ErrorCode, ...ErrorCode[]]),
  message: z.string(),
  details: z.record(z.string(), z.unknown()),
  retryable: z.boolean(),
});
export type WireError = z.output<typeof wireErrorSchema>;

/** Server to client: any number of `progress`, then one `ok` (null stands for undefined) or `error`. */
export const responseSchema = z.union([
  z.strictObject({ id, progress: z.tuple([z.number(), z.number()]) }),
  z.strictObject({ id, error: wireErrorSchema }),
  z.strictObject({ id, ok: z.unknown() }),
]);
export type Response = z.output<typeof responseSchema>;

/** The error without its cause and stack: those stay in the server's log. */
export function encodeError({ code, message, details, retryable }: ApplianceError): WireError {
  return { code, message, details, retryable };
}

/** The same error on the other side. */
export function decodeError({ code, message, details, retryable }: WireError): ApplianceError {
  return new ApplianceError(code, message, { details, retryable });
}
