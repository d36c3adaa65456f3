import { setTimeout as sleep } from "node:timers/promises";
import { isRefused } from "./rbd-fault.ts";
import { CONTENT } from "./rbd-names.ts";
import type { RbdPool } from "./rbd-pool.ts";

/**
 * Takes an image away, whatever hangs on it: what others share with it stays until the last of them goes. A client that
 * died with it open is waited for. Gone already, or half gone, is success.
 */
export async function discard(pool: RbdPool, image: string, signal: AbortSignal): Promise<void> {
  await unlessRefused("none", pool.removeSnapshot(image, CONTENT, signal));
  const remove = () =>
    unlessRefused(
      "none",
      whenFree(signal, () => pool.remove(image, signal)),
    );
  try {
    await remove();
  } catch (error) {
    if (!isRefused(error, "has-children")) throw error;
    // what an interrupted snapshot left on it
    for (const left of await pool.listSnapshots(image, signal)) {
      await unlessRefused("none", pool.removeSnapshot(image, left, signal));
    }
    await remove().catch(async (again) => {
      if (!isRefused(again, "has-children")) throw again;
      await unlessRefused("none", pool.moveToTrash(image, signal));
    });
  }
}

/** Done, or refused so. */
export async function unlessRefused(refusal: "none" | "exists", done: Promise<void>): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (!isRefused(error, refusal)) throw error;
  }
}

/** Ceph takes a client for alive until it has heard nothing of it for 30 s. */
const DEAD_CLIENT_MS = 40_000;
const BUSY_PAUSE_MS = 1000;

/** Does what needs an image that nobody has open; a client that died with it open is waited for. */
export async function whenFree(signal: AbortSignal, run: () => Promise<unknown>): Promise<void> {
  for (const began = Date.now(); ; ) {
    try {
      await run();
      return;
    } catch (error) {
      if (!isRefused(error, "busy") || Date.now() - began > DEAD_CLIENT_MS) throw error;
      await sleep(BUSY_PAUSE_MS, undefined, { signal });
    }
  }
}
