/** Bytes of a file, both ends included. */
export type ByteRange = { first: number; last: number };

/** More parts than any honest client asks for; a request above it is refused (RFC 9110 17.15). */
const MAX_RANGES = 32;

/**
 * What a Range header asks for of `size` bytes (RFC 9110 14.1.2): ranges in the
 * client's order, or merged and sorted when some overlap or touch. Undefined
 * when the header is no byte range and has to be ignored; empty when none of it
 * can be satisfied, or it asks for too many parts: 416.
 */
export function parseByteRanges(header: string, size: number): ByteRange[] | undefined {
  const list = /^bytes=(.*)$/i.exec(header.trim())?.[1];
  if (list === undefined) return undefined;
  const specs = list.split(",").map((one) => one.trim());
  const ranges: ByteRange[] = [];
  for (const spec of specs.filter((one) => one !== "")) {
    const [, from, to] = /^(\d*)-(\d*)$/.exec(spec) ?? [];
    if (from === undefined || to === undefined || (from === "" && to === "")) return undefined;
    if (from !== "" && to !== "" && Number(from) > Number(to)) return undefined;
    const first = from === "" ? Math.max(0, size - Number(to)) : Number(from);
    const last = from === "" || to === "" ? size - 1 : Math.min(size - 1, Number(to));
    if (first <= last) ranges.push({ first, last });
  }
  if (specs.every((one) => one === "")) return undefined;
  const merged = merge(ranges);
  if (merged.length > MAX_RANGES) return [];
  return merged.length < ranges.length ? merged : ranges;
}

function merge(ranges: ByteRange[]): ByteRange[] {
  const merged: ByteRange[] = [];
  for (const range of ranges.toSorted((one, other) => one.first - other.first)) {
    const before = merged.at(-1);
    if (before && range.first <= before.last + 1) before.last = Math.max(before.last, range.last);
    else merged.push({ ...range });
  }
  return merged;
}
