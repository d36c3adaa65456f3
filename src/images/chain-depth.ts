/**
 * How many ancestors a read of a disk or an image may go through, as of when it was made: its ancestors can only have
 * become fewer since. 0 for what stands alone; records that don't say stand alone.
 */
export type ChainDepth = { depth?: number };

/** The depth of what is cloned or snapshotted from `parent`. */
export function childDepth(parent: ChainDepth | undefined): number {
  return (parent?.depth ?? 0) + 1;
}

/** Those that are deeper than that, the deepest first. */
export function deeperThan<T extends ChainDepth>(things: readonly T[], most: number): T[] {
  return things.filter(({ depth = 0 }) => depth > most).sort((a, b) => (b.depth ?? 0) - (a.depth ?? 0));
}
