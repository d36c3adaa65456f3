import type { Log } from "../log.ts";
import type { Change, Records } from "../store/records.ts";
import type { BootSession } from "./boot-session.ts";

const COLLECTION = "boots";

/** Keeps boot sessions on disk, in the background: what happens while one commit is under way shares the next. */
export class BootArchive {
  readonly #records: Records;
  readonly #log: Log;
  readonly #pending = new Map<string, BootSession | null>();
  #writing: Promise<void> | undefined;

  constructor(records: Records, log: Log) {
    this.#records = records;
    this.#log = log;
  }

  /** Every session on disk, oldest first. */
  load(): BootSession[] {
    const sessions = [...this.#records.collection<BootSession>(COLLECTION).values()];
    return sessions.sort((one, other) => one.startedAt - other.startedAt);
  }

  /** Writes this state of the session soon. Returns at once. */
  save(session: BootSession): void {
    this.#later(session.id, session);
  }

  /** Deletes the session soon, if it was ever saved. */
  remove(id: string): void {
    const isSaved = this.#records.collection(COLLECTION).get(id) !== undefined;
    if (isSaved || this.#pending.has(id)) this.#later(id, null);
  }

  /** Resolves when nothing is waiting to be written, or the disk refused it. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  #later(id: string, session: BootSession | null): void {
    this.#pending.set(id, session);
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#pending.size > 0) {
      const batch = [...this.#pending];
      this.#pending.clear();
      try {
        await this.#records.commit(batch.map(([key, value]): Change => ({ collection: COLLECTION, key, value })));
      } catch (error) {
        this.#log.warn({ err: error, sessions: batch.length }, "boot sessions not written");
        for (const [id, session] of batch) if (!this.#pending.has(id)) this.#pending.set(id, session);
        break; // the next event tries again
      }
    }
    // in the same turn as the last look, so that nothing can wait unseen
    this.#writing = undefined;
  }
}
