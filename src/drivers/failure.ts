import { ApplianceError, type ErrorDetails, isApplianceError } from "../errors.ts";

/** A DRIVER_FAILED that names driver and action, so that its reader need not know the stack. */
export function driverFailed(
  driver: string,
  action: string,
  message: string,
  options: { details?: ErrorDetails; retryable?: boolean; cause?: unknown } = {},
): ApplianceError {
  return new ApplianceError("DRIVER_FAILED", `${action}: ${message}`, {
    ...options,
    details: { driver, action, ...options.details },
  });
}

/** Why `signal` ended the action: TIMEOUT for a deadline, else CANCELLED, or the ApplianceError it was aborted with. */
export function abortedError(signal: AbortSignal, driver: string, action: string): ApplianceError {
  const reason: unknown = signal.reason;
  if (isApplianceError(reason)) return reason;
  const timedOut = reason instanceof Error && reason.name === "TimeoutError";
  return new ApplianceError(
    timedOut ? "TIMEOUT" : "CANCELLED",
    timedOut ? `${action}: not done before its deadline` : `${action}: cancelled`,
    { details: { driver, action }, cause: reason },
  );
}

/** Throws that error when the signal has fired already. */
export function throwIfAborted(signal: AbortSignal, driver: string, action: string): void {
  if (signal.aborted) throw abortedError(signal, driver, action);
}
