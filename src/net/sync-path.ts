import { open } from "node:fs/promises";

/**
 * Makes a file's content, or the names in a directory, durable (fsync): a created or renamed file survives a power cut
 * only after its directory was synced.
 */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
