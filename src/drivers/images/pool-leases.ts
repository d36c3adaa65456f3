/**
 * Leases that a pool gives to the appliances that share it: what only one of them may do, it does while it holds the
 * lease for that. A lease runs out by itself when its holder does not prolong it. Fails like an image store.
 */
export interface PoolLeases {
  /**
   * Takes a lease for some seconds, or prolongs it. Answers its token, which is larger than that of every holder before.
   * BUSY (`details.holder`) while another one holds it.
   */
  take(name: string, holder: string, seconds: number, signal: AbortSignal): Promise<number>;
  /** Gives it back before it runs out. Another's, and one that nobody holds, stays as it is. */
  giveBack(name: string, holder: string, signal: AbortSignal): Promise<void>;
  /** Who holds it now. */
  holder(name: string, signal: AbortSignal): Promise<string | undefined>;
}
