/** Numbers that look random and come again with the same seed (mulberry32), from 0 to below `limit`. */
export function seeded(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** Values at the edges of what a byte can mean: lengths, counts, signs, terminators. */
const EDGES = [0, 1, 2, 3, 4, 0x0a, 0x0d, 0x20, 0x2f, 0x3a, 0x7f, 0x80, 0xfe, 0xff];
const MOST_BYTES = 2048;

/** A packet a little, or rather, other than one of the seeds. */
export function mutate(seeds: readonly Buffer[], random: (limit: number) => number): Buffer {
  let bytes = Buffer.from(seeds[random(seeds.length)] as Buffer);
  for (let changes = 1 + random(3); changes > 0; changes--) bytes = change(bytes, seeds, random);
  return bytes.subarray(0, MOST_BYTES);
}

function change(
  bytes: Buffer<ArrayBuffer>,
  seeds: readonly Buffer[],
  random: (limit: number) => number,
): Buffer<ArrayBuffer> {
  if (bytes.length === 0) return Buffer.from([random(256)]);
  const at = random(bytes.length);
  const length = 1 + random(Math.min(64, bytes.length - at));
  switch (random(16)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 2:
      return Buffer.concat([bytes, bytes.subarray(at, at + length)]);
    case 3: {
      const other = seeds[random(seeds.length)] as Buffer;
      return Buffer.concat([bytes.subarray(0, at), other.subarray(Math.min(at, other.length))]);
    }
    case 4:
      return Buffer.concat([bytes.subarray(0, at), Buffer.alloc(1 + random(300), EDGES[random(EDGES.length)])]);
    default:
      if (random(2) === 0) bytes[at] = EDGES[random(EDGES.length)] as number;
      else bytes[at] = (bytes[at] as number) ^ (1 << random(8));
      return bytes;
  }
}

/** Whether a codec takes these bytes. */
export function isUnderstood(decode: (bytes: Buffer) => unknown, bytes: Buffer): boolean {
  try {
    decode(bytes);
    return true;
  } catch {
    return false;
  }
}
