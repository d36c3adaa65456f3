import { ApplianceError } from "../errors.ts";
import type { OperationRecord } from "./operation.ts";

/** Who uses something that others may use too. An operation's name is its id. */
type User = { kind: "operation" | "download" | "cabling"; name: string };

/**
 * Which operation is at which node, disk or image: one that changes it holds it alone, others use it together. Until they
 * are over, so a stuck one holds on.
 */
export class Holds {
  readonly #find: (operation: string) => OperationRecord | undefined;
  readonly #held = new Map<string, string>();
  readonly #users = new Map<string, Set<User>>();

  constructor(find: (operation: string) => OperationRecord | undefined) {
    this.#find = find;
  }

  take(operation: OperationRecord): void {
    for (const thing of operation.holds) this.#held.set(thing, operation.id);
    for (const thing of operation.uses ?? []) this.use(thing, { kind: "operation", name: operation.id });
  }

  release(operation: OperationRecord): void {
    for (const thing of operation.holds) if (this.#held.get(thing) === operation.id) this.#held.delete(thing);
    for (const thing of operation.uses ?? []) {
      for (const user of this.#users.get(thing) ?? []) if (user.name === operation.id) this.#leave(thing, user);
    }
  }

  /** Notes that somebody uses this thing, until what is answered is called. */
  use(thing: string, user: User): () => void {
    const users = this.#users.get(thing) ?? new Set();
    this.#users.set(thing, users.add(user));
    return () => this.#leave(thing, user);
  }

  /** Who holds or uses this thing and does not give way to others. */
  usersOf(thing: string): User[] {
    return this.#everyoneAt(thing).filter(({ name }) => !this.#yields(name));
  }

  #everyoneAt(thing: string): User[] {
    const holder = this.#held.get(thing);
    return [
      ...(holder === undefined ? [] : [{ kind: "operation" as const, name: holder }]),
      ...(this.#users.get(thing) ?? []),
    ];
  }

  /** Ids of the operations at this thing that give way to others. */
  yielding(thing: string): string[] {
    return this.#everyoneAt(thing)
      .map(({ name }) => name)
      .filter((name) => this.#yields(name));
  }

  #yields(name: string): boolean {
    return this.#find(name)?.yields === true;
  }

  #leave(thing: string, user: User): void {
    const users = this.#users.get(thing);
    users?.delete(user);
    if (users?.size === 0) this.#users.delete(thing);
  }

  /** The id of the operation that holds this thing. */
  holder(thing: string): string | undefined {
    return this.#held.get(thing);
  }

  /** BUSY, naming who, when this thing is held, or used by others. */
  refuse(thing: string): void {
    this.refuseHeld(thing);
    const user = [...(this.#users.get(thing) ?? [])].find(({ name }) => !this.#yields(name));
    if (!user) return;
    // another project's may be at a shared image: what it does there is not for everybody
    throw new ApplianceError("BUSY", `${user.kind} is under way (${user.name})`, {
      details: { ...(user.kind === "operation" ? { operation: user.name } : {}), remedy: "wait for it, or end it" },
    });
  }

  /** BUSY, naming the operation, when this thing is held. */
  refuseHeld(thing: string): void {
    const holder = this.#find(this.#held.get(thing) ?? "");
    if (!holder || holder.yields) return;
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
