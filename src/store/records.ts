/**
 * The store as the rest of the code sees it: named collections of plain JSON records in memory,
 * changed by atomic commits that are on disk before they resolve.
 */
export interface Records {
  collection<T extends object>(name: string): Collection<T>;
  /**
   * Applies all changes or none. Visible to readers at once, durable when the promise resolves
   * (write-ahead journal, group commit). Rejects with UNAVAILABLE when the disk refuses; then nothing stays changed.
   */
  commit(changes: Change[]): Promise<void>;
}

/** Read side of one collection. Records are frozen: change them by a commit of a new value. */
export interface Collection<T extends object> {
  get(key: string): T | undefined;
  values(): IterableIterator<T>;
  entries(): IterableIterator<[string, T]>;
  readonly size: number;
}

/** `value: null` removes the record. */
export type Change = { collection: string; key: string; value: object | null };
