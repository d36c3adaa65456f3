import type { Readable } from "node:stream";
import { childOutput } from "./child-output.ts";

/** A stream packed by zstd, in a process of its own. Fails as the stream does. */
export function compress(content: Readable, signal: AbortSignal): Readable {
  const packed = childOutput("zstd", ["-q", "-3", "-c", "-"], {
    driver: "zstd",
    action: "compress",
    signal,
    input: content,
  });
  packed.on("close", () => content.destroy());
  return packed;
}
