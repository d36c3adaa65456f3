import { setTimeout as sleep } from "node:timers/promises";
import { ApplianceError, isApplianceError } from "../../errors.ts";
import { abortedError } from "../failure.ts";
import type { TellWait } from "./network-isolator.ts";

/** How long HIL may take, and how soon it is asked again at first; then in twice, at most four times that. Each answer costs it much. */
export type HilPace = { actionSeconds: number; pollMs: number };

/** And who is told of what is waited for. */
export type HilWait = HilPace & { tell: TellWait | undefined };

const SLOWEST = 4;

/** Calls without an answer, or with a failure of HIL's own, that are borne in a row. */
const FAILURES = 3;

/**
 * Looks and acts turn by turn until a turn answers `{ value }`; one that answers a text says what is still waited for. A
 * turn begins by looking, so that one may follow a call of which nobody knows whether it was done. TIMEOUT after
 * `actionSeconds`, with what was waited for as `reason`.
 */
export async function settle<T>(
  action: string,
  { actionSeconds, pollMs, tell }: HilWait,
  signal: AbortSignal,
  turn: (signal: AbortSignal) => Promise<{ value: T } | string>,
): Promise<T> {
  const began = performance.now();
  const own = AbortSignal.timeout(actionSeconds * 1000);
  const deadline = AbortSignal.any([signal, own]);
  let waitingFor = "no answer from HIL";
  let failures = 0;
  for (let waits = 0; ; waits++) {
    try {
      const outcome = await turn(deadline);
      if (typeof outcome !== "string") return outcome.value;
      waitingFor = outcome;
      failures = 0;
    } catch (error) {
      if (!deadline.aborted) {
        if (!isApplianceError(error) || !error.retryable || ++failures > FAILURES) throw error;
        waitingFor = error.message;
      }
    }
    const seconds = (performance.now() - began) / 1000;
    tell?.({ reason: `${action}: ${waitingFor}`, seconds, atMostSeconds: actionSeconds });
    await sleep(pollMs * Math.min(2 ** waits, SLOWEST), undefined, { signal: deadline }).catch(() => {});
    if (signal.aborted) throw abortedError(signal, "hil", action);
    if (own.aborted) throw stuck(action, actionSeconds, waitingFor);
  }
}

function stuck(action: string, seconds: number, reason: string): ApplianceError {
  return new ApplianceError("TIMEOUT", `${action}: not done after ${seconds} s: ${reason}`, {
    details: {
      driver: "hil",
      action,
      reason,
      remedy: "look whether HIL's networking daemon (hil serve-networks) runs and reaches its switches",
    },
  });
}
