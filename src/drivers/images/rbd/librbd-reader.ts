/**
 * A process that writes the bytes of one image to its standard output, for `createLibrbdPool`. It ends with whoever reads.
 * usage: librbd-reader.ts JSON (`RbdReading`)
 */
import { Librbd } from "./librbd.ts";
import type { RbdAccess } from "./rbd-pool.ts";

/** What is to be read: `first` to `last`, both included; all of the image without them. */
export type RbdReading = { access: RbdAccess; image: string; first?: number; last?: number };

const { access, image, first, last } = JSON.parse(process.argv[2] ?? "") as RbdReading;
try {
  const pool = await Librbd.connect(access);
  try {
    // on a pipe, a write waits until it is taken
    for await (const piece of pool.read(image, first, last)) process.stdout.write(piece);
  } finally {
    pool.close();
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
