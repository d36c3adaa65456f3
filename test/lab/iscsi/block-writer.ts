import { open } from "node:fs/promises";
import type { Initiator } from "./initiator.ts";

export const BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;
const SECTORS = BLOCK_BYTES / SECTOR_BYTES;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/** A way to change a block: what it holds then, and the command. */
type Way = (initiator: Initiator, sector: number, mark: Buffer) => { content: Buffer; send: () => Promise<void> };

const WAYS: Record<string, Way> = {
  write: (initiator, sector, mark) => {
    const content = Buffer.alloc(BLOCK_BYTES, mark);
    return { content, send: () => initiator.write(sector, content) };
  },
  "write, FUA": (initiator, sector, mark) => {
    const content = Buffer.alloc(BLOCK_BYTES, mark);
    return { content, send: () => initiator.write(sector, content, { fua: true }) };
  },
  "write same": (initiator, sector, mark) => {
    const one = Buffer.alloc(SECTOR_BYTES, mark);
    return { content: Buffer.alloc(BLOCK_BYTES, one), send: () => initiator.writeSame(sector, SECTORS, one) };
  },
};
/** Only for disks that offer UNMAP. */
const GIVING_BACK: Record<string, Way> = {
  "write same, UNMAP": (initiator, sector) => {
    const one = ZEROS.subarray(0, SECTOR_BYTES);
    return { content: ZEROS, send: () => initiator.writeSame(sector, SECTORS, one, { unmap: true }) };
  },
  UNMAP: (initiator, sector) => ({ content: ZEROS, send: () => initiator.unmap(sector, SECTORS) }),
};

/** What a block may hold: what was acknowledged last, or what was sent after it and never answered. */
type Block = { acknowledged: Buffer | undefined; unanswered: Buffer[] };

/**
 * Changes blocks of a disk in all the ways that SCSI has, several at a time, and knows what was acknowledged. Each
 * block's content is of its own, and of its own time: a stale, a torn or another one's content is told from it.
 */
export class BlockWriter {
  acknowledgements = 0;
  readonly #ways: Record<string, Way>;
  readonly #blocks = new Map<number, Block>();
  #sequence = 0;

  constructor({ unmap }: { unmap: boolean }) {
    this.#ways = unmap ? { ...WAYS, ...GIVING_BACK } : WAYS;
  }

  /** What `change` can do here. */
  get ways(): string[] {
    return Object.keys(this.#ways);
  }

  /** Changes one of the first `blocks` blocks after the other, `lanes` at a time, until the session ends; resolves then. */
  async run(initiator: Initiator, blocks: number, lanes: number): Promise<void> {
    // Each lane has blocks of its own: never two commands under way for one block.
    const own = Math.floor(blocks / lanes);
    const lane = async (first: number) => {
      for (;;) {
        const way = this.ways[this.#sequence % (2 * this.ways.length)] ?? "write";
        await this.change(initiator, first + lanes * Math.floor(Math.random() * own), way);
      }
    };
    await Promise.allSettled(Array.from({ length: lanes }, (_, first) => lane(first)));
  }

  /** Resolves once the change is acknowledged. */
  async change(initiator: Initiator, block: number, way: string): Promise<void> {
    this.#sequence += 1;
    const mark = Buffer.from(`block ${block} write ${this.#sequence} of ${process.pid};`);
    const { content, send } = this.#ways[way]!(initiator, block * SECTORS, mark);
    const state = this.#blocks.get(block) ?? { acknowledged: undefined, unanswered: [] };
    this.#blocks.set(block, state);
    state.unanswered.push(content);
    await send();
    state.acknowledged = content;
    state.unanswered = [];
    this.acknowledgements += 1;
  }

  /** The blocks whose last acknowledged change is not in what `read` answers. */
  async missing(read: (block: number) => Promise<Buffer>): Promise<number[]> {
    const missing: number[] = [];
    // what was never answered may have got as far as any of a block's sectors
    const starts = Array.from({ length: SECTORS }, (_, sector) => sector * SECTOR_BYTES);
    for (const [block, { acknowledged, unanswered }] of this.#blocks) {
      if (acknowledged === undefined) continue;
      const found = await read(block);
      const sector = (content: Buffer, at: number) => content.subarray(at, at + SECTOR_BYTES);
      const isOneOf = (at: number) =>
        [acknowledged, ...unanswered].some((content) => sector(content, at).equals(sector(found, at)));
      if (!starts.every(isOneOf)) missing.push(block);
    }
    return missing;
  }

  /** The same, of a file that holds the disk. */
  async missingInFile(path: string): Promise<number[]> {
    const file = await open(path);
    try {
      return await this.missing(async (block) => {
        const content = Buffer.alloc(BLOCK_BYTES);
        await file.read(content, 0, BLOCK_BYTES, block * BLOCK_BYTES);
        return content;
      });
    } finally {
      await file.close();
    }
  }
}
