import type { Clock } from "../clock.ts";
import { ApplianceError } from "../errors.ts";

/** What an operator is asked to do at a machine without a BMC, and to see done. */
export type OperatorRequest = { node: string; action: string; since: number };

type Waiting = OperatorRequest & { done: () => void };

/** Work for an operator's hands that operations wait for: one request per node, in memory, asked again after a restart. */
export class OperatorRequests {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves once an operator confirms; rejects with the signal's reason when aborted. */
  readonly ask = ({ node, action }: { node: string; action: string }, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const leave = () => {
        signal.removeEventListener("abort", onAbort);
        if (this.#waiting.get(node) === waiting) this.#waiting.delete(node);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const done = () => {
        leave();
        resolve();
      };
      const waiting: Waiting = { node, action, since: this.#clock.now(), done };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.set(node, waiting);
    });

  /** Everything that is waited for. */
  list(): OperatorRequest[] {
    return [...this.#waiting.values()].map(({ node, action, since }) => ({ node, action, since }));
  }

  /** An operator says that it is done, and answers what it was. CONFLICT when nothing is asked of this node. */
  confirm(node: string): OperatorRequest {
    const waiting = this.#waiting.get(node);
    if (!waiting) {
      throw new ApplianceError("CONFLICT", `nobody waits for an operator at node ${node}`, {
        details: { field: "node", value: node, remedy: "ingot operation list shows what is under way" },
      });
    }
    waiting.done();
    return { node, action: waiting.action, since: waiting.since };
  }
}
