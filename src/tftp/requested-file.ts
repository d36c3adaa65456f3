import type { FileHandle } from "node:fs/promises";
import { ApplianceError } from "../errors.ts";
import type { SharedFiles } from "../net/shared-files.ts";
import type { ReadBlocks } from "./block-ring.ts";
import { toNetascii } from "./netascii.ts";

/** What a transfer reads from. */
export type RequestedFile = { sizeBytes: number; read: ReadBlocks; close(): Promise<void> };

/** Texts are translated as a whole; nobody boots a larger text. */
const MAX_NETASCII_BYTES = 1024 * 1024;

/**
 * Opens a file for a transfer in mode `octet` or `netascii` (RFC 1350 1).
 * UNSUPPORTED for other modes and for long files in netascii; INVALID,
 * NOT_FOUND and FORBIDDEN as openConfined has them.
 */
export async function openRequested(files: SharedFiles, name: string, mode: string): Promise<RequestedFile> {
  if (mode !== "octet" && mode !== "netascii") {
    throw new ApplianceError("UNSUPPORTED", "only octet and netascii are served");
  }
  const { handle, stats, release } = await files.open(name);
  const sizeBytes = Number(stats.size);
  if (mode === "octet") {
    return {
      sizeBytes,
      read: async (into, position) => (await handle.readv(into, position)).bytesRead,
      close: release,
    };
  }
  try {
    if (sizeBytes > MAX_NETASCII_BYTES) throw new ApplianceError("UNSUPPORTED", "too long for netascii: use octet");
    const text = toNetascii(await readWhole(handle, sizeBytes));
    return {
      sizeBytes: text.length,
      read: async (into, position) => fill(into, text, position),
      close: async () => {},
    };
  } finally {
    await release();
  }
}

/** By position: others read through the same handle. */
async function readWhole(handle: FileHandle, sizeBytes: number): Promise<Buffer> {
  const text = Buffer.alloc(sizeBytes);
  const { bytesRead } = await handle.read(text, 0, sizeBytes, 0);
  return text.subarray(0, bytesRead);
}

function fill(into: Uint8Array[], text: Buffer, position: number): number {
  let offset = position;
  for (const part of into) offset += text.copy(part, 0, offset);
  return offset - position;
}
