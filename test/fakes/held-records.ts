import type { Change, Collection, Records } from "../../src/store/records.ts";

type Pending = { undo: Change[]; resolve: () => void; reject: (error: Error) => void };

/** Records in memory whose disk answers when the test says so: `held` keeps commits waiting for `settle` or `refuse`. */
export class HeldRecords implements Records {
  held = false;
  readonly #maps = new Map<string, Map<string, object>>();
  readonly #pending: Pending[] = [];

  collection<T extends object>(name: string): Collection<T> {
    return this.#map(name) as ReadonlyMap<string, object> as unknown as Collection<T>;
  }

  commit(changes: Change[]): Promise<void> {
    const undo = changes.map((change) => ({ ...change, value: this.#map(change.collection).get(change.key) ?? null }));
    this.#apply(changes);
    if (!this.held) return Promise.resolve();
    return new Promise((resolve, reject) => this.#pending.push({ undo: undo.reverse(), resolve, reject }));
  }

  /** The disk has it all. */
  settle(): void {
    for (const { resolve } of this.#pending.splice(0)) resolve();
  }

  /** The disk refuses it all, newest first, and nothing stays changed. */
  refuse(): void {
    for (const { undo, reject } of this.#pending.splice(0).reverse()) {
      this.#apply(undo);
      reject(new Error("the disk refuses"));
    }
  }

  #apply(changes: Change[]): void {
    for (const { collection, key, value } of changes) {
      if (value) this.#map(collection).set(key, Object.freeze(structuredClone(value)));
      else this.#map(collection).delete(key);
    }
  }

  #map(name: string): Map<string, object> {
    const map = this.#maps.get(name) ?? new Map<string, object>();
    this.#maps.set(name, map);
    return map;
  }
}
