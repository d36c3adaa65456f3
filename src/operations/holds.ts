import { ApplianceError } from "../errors.ts";
import type { OperationRecord } from "./operation.ts";

/** Which operation is at which node, disk or image; one at a time. Held until it is over, so a stuck one holds on. */
export class Holds {
  readonly #find: (operation: string) => OperationRecord | undefined;
  readonly #held = new Map<string, string>();

  constructor(find: (operation: string) => OperationRecord | undefined) {
    this.#find = find;
  }

  take(operation: OperationRecord): void {
    for (const thing of operation.holds) this.#held.set(thing, operation.id);
  }

  release(operation: OperationRecord): void {
    for (const thing of operation.holds) if (this.#held.get(thing) === operation.id) this.#held.delete(thing);
  }

  /** The id of the operation that holds this thing. */
  holder(thing: string): string | undefined {
    return this.#held.get(thing);
  }

  /** BUSY, naming the operation, when this thing is held. */
  refuse(thing: string): void {
    const holder = this.#find(this.#held.get(thing) ?? "");
    if (!holder) return;
    const isStuck = holder.state === "stuck";
    throw new ApplianceError(
      "BUSY",
      `${holder.summary}: this operation ${isStuck ? "is stuck" : "is under way"} (${holder.id})`,
      {
        details: {
          operation: holder.id,
          remedy: isStuck ? `ingot operation show ${holder.id}, then retry it` : "wait for it, or cancel it",
        },
      },
    );
  }
}
