import type { Clock } from "../clock.ts";
import { type ConfinedFile, openConfined } from "./confined-file.ts";

/** A file is looked up anew after that time, for a name may come to mean another file. */
const FRESH_MS = 1000;

type Shared = { file: Promise<ConfinedFile>; users: number; openedAt: number };

/** Files below a root, open once for all who read them at the same time: a rack that boots asks for one file. */
export class SharedFiles {
  readonly #root: string;
  readonly #clock: Clock;
  readonly #byName = new Map<string, Shared>();

  constructor(root: string, clock: Clock) {
    this.#root = root;
    this.#clock = clock;
  }

  /** The file of that name, and what to call once it is no longer needed: the last user's call closes it. Rejects as openConfined. */
  async open(name: string): Promise<ConfinedFile & { release: () => Promise<void> }> {
    const now = this.#clock.now();
    let shared = this.#byName.get(name);
    // A wall clock may jump back.
    if (!shared || Math.abs(now - shared.openedAt) > FRESH_MS) {
      shared = { file: openConfined(this.#root, name), users: 0, openedAt: now };
      this.#byName.set(name, shared);
    }
    shared.users++;
    const { file } = shared;
    const release = () => this.#release(name, shared);
    try {
      return { ...(await file), release };
    } catch (error) {
      await release();
      throw error;
    }
  }

  async #release(name: string, shared: Shared): Promise<void> {
    shared.users--;
    if (shared.users > 0) return;
    if (this.#byName.get(name) === shared) this.#byName.delete(name);
    await shared.file.then(
      ({ handle }) => handle.close(),
      () => {},
    );
  }
}
