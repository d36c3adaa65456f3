import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Low } from "lowdb";
import { ApplianceError } from "../errors.ts";
import type { Log } from "../log.ts";
import { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
import { type Journal, openJournal } from "./journal.ts";
import type { Change, Collection, Records } from "./records.ts";
import { Reserve } from "./reserve.ts";

/** When the newest journal segment is this long, the collections are checkpointed and old segments dropped. */
const COMPACT_AT_BYTES = 4 * 1024 * 1024;
/** A checkpoint that failed is tried again after this long: it reads all that changed. */
const COMPACT_RETRY_MS = 10_000;

/** What may be changed about a store; each has a default. */
export type StoreOptions = {
  /** Stands between the store and its journal. Tests inject crashes here. */
  wrapJournal?: (journal: Journal) => Journal;
  compactAtBytes?: number;
  /** Size of the file that is given up when the disk is full, and how often it is looked whether it can be made anew. */
  reserve?: { bytes: number; retryMs: number };
};

/**
 * The appliance's state: collections in memory, made durable by a write-ahead journal
 * (`journal/`), checkpointed in the background into one readable file per collection (`store/`).
 */
export class Store implements Records {
  readonly #directory: string;
  readonly #log: Log;
  readonly #compactAtBytes: number;
  readonly #maps = new Map<string, Map<string, object>>();
  readonly #checkpoints = new Map<string, Low<Checkpoint>>();
  readonly #changed = new Set<string>();
  readonly #reserve: Reserve;
  #journal: Journal;
  #seq = 0;
  #failures = 0;
  #compacting: Promise<void> | undefined;
  #compactNotBefore = 0;
  #keepingReserve: Promise<void> = Promise.resolve();

  private constructor(directory: string, log: Log, options: StoreOptions) {
    this.#directory = directory;
    this.#log = log;
    this.#compactAtBytes = options.compactAtBytes ?? COMPACT_AT_BYTES;
    this.#reserve = new Reserve(join(directory, "reserve"), options.reserve);
    this.#journal = undefined as unknown as Journal;
  }

  /**
   * Loads the checkpoints and replays the journal behind them. CORRUPT when either is damaged: never starts empty instead.
   * The caller holds the lock of `directory`.
   */
  static async open(directory: string, log: Log, options: StoreOptions = {}): Promise<Store> {
    const store = new Store(directory, log, options);
    await store.#load(options.wrapJournal ?? ((journal) => journal));
    return store;
  }

  async #load(wrap: (journal: Journal) => Journal): Promise<void> {
    for (const folder of ["store", "journal"]) {
      await mkdir(join(this.#directory, folder), { recursive: true, mode: 0o700 });
    }
    for (const file of await readdir(join(this.#directory, "store"))) {
      if (!file.endsWith(".json")) continue;
      const name = file.slice(0, -".json".length);
      const checkpoint = await this.#checkpoint(name);
      const map = this.#map(name);
      for (const [key, record] of checkpoint.data.records) map.set(key, freeze(record));
      this.#seq = Math.max(this.#seq, checkpoint.data.through);
    }
    const journal = await openJournal(
      join(this.#directory, "journal"),
      (entry) => {
        for (const change of entry.changes) {
          const through = this.#checkpoints.get(change.collection)?.data.through ?? 0;
          if (entry.seq > through) this.#apply(change);
        }
        this.#seq = Math.max(this.#seq, entry.seq);
      },
      (facts) => this.#log.warn(facts, "cut a torn journal tail"),
      () => this.#giveUpReserve(),
    );
    // the copies in lowdb have served: the maps hold the records
    for (const checkpoint of this.#checkpoints.values()) checkpoint.data.records = new Map();
    this.#journal = wrap(journal);
    this.#keepReserve();
  }

  async #giveUpReserve(): Promise<boolean> {
    const released = await this.#reserve.release();
    if (released)
      this.#log.error({ directory: this.#directory }, "state disk full, reserve given up: free space there");
    return released;
  }

  #keepReserve(): void {
    if (!this.#reserve.isDue()) return;
    this.#keepingReserve = this.#keepingReserve.then(() => this.#reserve.keep());
  }

  collection<T extends object>(name: string): Collection<T> {
    return this.#map(name) as ReadonlyMap<string, object> as unknown as Collection<T>;
  }

  commit(changes: Change[]): Promise<void> {
    if (changes.length === 0) return Promise.resolve();
    const before = changes.map((change): Change => {
      const value = this.#map(change.collection).get(change.key) ?? null;
      this.#apply(change);
      return { ...change, value };
    });
    return this.#append(changes, () => {
      for (const change of before.reverse()) this.#apply(change);
    });
  }

  #append(changes: Change[], takeBack: () => void = () => {}): Promise<void> {
    this.#seq += 1;
    const entry = { seq: this.#seq, changes };
    return new Promise((resolve, reject) => {
      this.#journal.append(
        entry,
        () => {
          const isLong = this.#journal.segmentBytes > this.#compactAtBytes;
          if (isLong && performance.now() > this.#compactNotBefore) void this.compact();
          this.#keepReserve();
          resolve();
        },
        (error) => {
          takeBack();
          // the journal fails newest first, so the number is free again
          this.#seq -= 1;
          this.#failures += 1;
          reject(error);
        },
      );
    });
  }

  /** Writes an entry without changes and waits for the disk: a watchdog learns whether commits would get through. */
  exercise(): Promise<void> {
    return this.#append([]);
  }

  /** Writes the checkpoints of what changed and drops the journal segments they cover. One at a time. */
  compact(): Promise<void> {
    this.#compacting ??= this.#compact()
      .catch((error) => {
        this.#compactNotBefore = performance.now() + COMPACT_RETRY_MS;
        this.#log.error({ err: error }, "checkpoint failed");
      })
      .finally(() => {
        this.#compacting = undefined;
      });
    return this.#compacting;
  }

  async #compact(): Promise<void> {
    const through = this.#seq;
    const failures = this.#failures;
    const names = [...this.#changed];
    this.#changed.clear();
    const snapshots = names.map((name) => [name, new Map(this.#map(name))] as const);
    try {
      await this.#journal.rotate(through + 1);
      // a commit that failed meanwhile was taken back, but may stand in the snapshots
      if (this.#failures !== failures) throw new ApplianceError("UNAVAILABLE", "a commit failed under the checkpoint");
      for (const [name, records] of snapshots) {
        const checkpoint = await this.#checkpoint(name);
        checkpoint.data = { schema: 1, through, records };
        await checkpoint.write();
        checkpoint.data.records = new Map();
      }
    } catch (error) {
      for (const name of names) this.#changed.add(name);
      throw error;
    }
    await this.#journal.dropBefore(through + 1);
  }

  /** Waits for what is being written, checkpoints, and lets go of the files. */
  async close(): Promise<void> {
    await this.compact();
    await this.#keepingReserve;
    await this.#journal.close();
  }

  async #checkpoint(name: string): Promise<Low<Checkpoint>> {
    let checkpoint = this.#checkpoints.get(name);
    if (!checkpoint) {
      checkpoint = await openCheckpoint(join(this.#directory, "store", `${name}.json`));
      this.#checkpoints.set(name, checkpoint);
    }
    return checkpoint;
  }

  #map(name: string): Map<string, object> {
    if (!/^[a-zA-Z]+$/.test(name)) throw new ApplianceError("INTERNAL", `"${name}" can't name a collection`);
    let map = this.#maps.get(name);
    if (!map) {
      map = new Map();
      this.#maps.set(name, map);
    }
    return map;
  }

  #apply(change: Change): void {
    this.#changed.add(change.collection);
    const map = this.#map(change.collection);
    if (change.value === null) map.delete(change.key);
    else map.set(change.key, freeze(change.value));
  }
}

function freeze(value: object): object {
  for (const inner of Object.values(value)) {
    if (typeof inner === "object" && inner !== null && !Object.isFrozen(inner)) freeze(inner);
  }
  return Object.freeze(value);
}
