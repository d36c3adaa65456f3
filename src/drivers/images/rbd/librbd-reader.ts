/**
 * A process that writes bytes of one image to its standard output, for `createLibrbdPool`: those of the ranges on its
 * standard input, lines of first and last byte, in ascending order. It ends with whoever reads.
 * usage: librbd-reader.ts JSON (`RbdReading`)
 */
import { createInterface } from "node:readline";
import type { ByteRange } from "../image-store.ts";
import { Librbd } from "./librbd.ts";
import type { RbdAccess } from "./rbd-pool.ts";

/** What is to be read. */
export type RbdReading = { access: RbdAccess; image: string };

const { access, image } = JSON.parse(process.argv[2] ?? "") as RbdReading;
try {
  const pool = await Librbd.connect(access);
  try {
    // on a pipe, a write waits until it is taken
    for await (const piece of pool.read(image, ranges())) process.stdout.write(piece);
  } finally {
    pool.close();
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
  process.stdin.destroy();
}

async function* ranges(): AsyncGenerator<ByteRange> {
  for await (const line of createInterface({ input: process.stdin })) {
    const [first, last] = line.split(" ").map(Number) as [number, number];
    yield { first, last };
  }
}
