import { CHAIN_START, parseLink, readLink } from "../values/hash-chain.ts";

/** What looking through a chain of lines found. `head`: the hash of its last link, to be kept elsewhere: a chain that was cut short or forged anew can't have it. */
export type Verdict = { lines: number; first?: number; last?: number; head: string; faults: string[] };

const MOST_FAULTS = 100;

/**
 * Looks whether lines are one unbroken chain. Where it begins later than with 1, what its first line follows is gone, and nothing
 * vouches for that line: `first` is the one after it.
 */
export async function verifyChain(lines: AsyncIterable<string> | Iterable<string>): Promise<Verdict> {
  const verdict: Verdict = { lines: 0, head: CHAIN_START, faults: [] };
  const fault = (text: string) => {
    if (verdict.faults.length < MOST_FAULTS) verdict.faults.push(text);
  };
  for await (const line of lines) {
    verdict.lines += 1;
    const link = parseLink(line);
    if (!link) {
      fault(`line ${verdict.lines} is no entry`);
      continue;
    }
    const seq = Number(link.value.seq);
    const isTaken = verdict.last === undefined && seq > 1;
    if (link.value.kind === "gap") fault(`entry ${seq} begins anew: ${link.value.why}`);
    if (verdict.last !== undefined && seq !== verdict.last + 1) fault(`entry ${seq} follows entry ${verdict.last}`);
    if (!isTaken && !readLink(line, verdict.head)) fault(`entry ${seq} was changed, or what is before it`);
    if (!isTaken) verdict.first ??= seq;
    verdict.last = seq;
    verdict.head = link.hash;
  }
  return verdict;
}
