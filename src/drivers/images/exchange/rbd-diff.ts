import { ApplianceError } from "../../../errors.ts";
import { isZero } from "../../../values/zeros.ts";

/**
 * What changed between two images, in the format of `rbd export-diff` (Ceph's doc/dev/rbd-diff: version 1, little endian,
 * without the names of snapshots): a line, then records of a letter and numbers of 64 bits.
 *   s size | w offset length BYTES | z offset length (zeros) | e (the end)
 */
const HEADER = "rbd diff v1\n";
/** Compared at a time, and so the least that is written for a change. */
const BLOCK_BYTES = 64 * 1024;
/** Longest record that is taken: writers of this format stay below the size of an RBD object, 32 MiB at most. */
const MAX_RECORD_BYTES = 64 * 1024 * 1024;

/** One record. */
export type Change =
  | { kind: "size"; bytes: number }
  | { kind: "data"; offset: number; bytes: Buffer }
  | { kind: "zero"; offset: number; length: number };

/** The changes that make the content `after` of `before`, `sizeBytes` long in the end. */
export async function* encodeDiff(
  before: AsyncIterable<Buffer>,
  after: AsyncIterable<Buffer>,
  sizeBytes: number,
): AsyncGenerator<Buffer> {
  yield Buffer.from(HEADER);
  yield record("s", sizeBytes);
  const old = inBlocks(before)[Symbol.asyncIterator]();
  let offset = 0;
  for await (const block of inBlocks(after)) {
    const { value, done } = await old.next();
    const isSame = done ? isZero(block) : value.equals(block);
    if (!isSame && isZero(block)) yield record("z", offset, block.length);
    else if (!isSame) yield Buffer.concat([record("w", offset, block.length), block]);
    offset += block.length;
  }
  // to its end, so that whoever looks on sees all of it
  for (let rest = await old.next(); !rest.done; ) rest = await old.next();
  yield Buffer.from("e");
}

/** The changes in a diff. INVALID for what is none, is cut short, or goes on after its end. */
export async function* decodeDiff(content: AsyncIterable<Buffer>): AsyncGenerator<Change> {
  const bytes = new ByteReader(content);
  if ((await bytes.take(HEADER.length)).toString("latin1") !== HEADER) throw damaged("it does not begin as one");
  for (;;) {
    const letter = (await bytes.take(1)).toString("latin1");
    if (letter === "e") break;
    if (letter === "s") {
      yield { kind: "size", bytes: await bytes.number() };
    } else if (letter === "w" || letter === "z") {
      const [offset, length] = [await bytes.number(), await bytes.number()];
      if (letter === "z") yield { kind: "zero", offset, length };
      else if (length > MAX_RECORD_BYTES) throw damaged("a record of it is too long");
      else yield { kind: "data", offset, bytes: await bytes.take(length) };
    } else {
      throw damaged("it holds a record that is not known here");
    }
  }
  if (!(await bytes.isOver())) throw damaged("it goes on after its end");
}

function record(letter: string, ...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(1 + 8 * numbers.length, letter);
  for (const [index, number] of numbers.entries()) bytes.writeBigUInt64LE(BigInt(number), 1 + 8 * index);
  return bytes;
}

async function* inBlocks(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const bytes = new ByteReader(content);
  for (;;) {
    const block = await bytes.take(BLOCK_BYTES, true);
    if (block.length === 0) return;
    yield block;
  }
}

/** Takes a stream in pieces of the sizes asked for. */
class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(content: AsyncIterable<Buffer>) {
    this.#source = content[Symbol.asyncIterator]();
  }

  /** So many bytes; INVALID where there are no more, but for `orLess`. */
  async take(length: number, orLess = false): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const next = await this.#source.next();
        if (next.done) break;
        this.#rest = next.value;
      }
      const piece = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(piece.length);
      missing -= piece.length;
      pieces.push(piece);
    }
    if (missing > 0 && !orLess) throw damaged("it is cut short");
    return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
  }

  async number(): Promise<number> {
    const number = Number((await this.take(8)).readBigUInt64LE());
    if (!Number.isSafeInteger(number)) throw damaged("a number in it is too large");
    return number;
  }

  async isOver(): Promise<boolean> {
    return (await this.take(1, true)).length === 0;
  }
}

function damaged(why: string): ApplianceError {
  return new ApplianceError("INVALID", `path: this is no increment: ${why}`, {
    details: { field: "path", remedy: "copy it again from where it was exported" },
  });
}
