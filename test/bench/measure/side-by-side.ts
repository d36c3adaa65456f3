import { parseArgs } from "node:util";

/** One figure of ours beside a peer's, measured in the same run. */
export type Case = {
  case: string;
  unit: string;
  /** Which way is good. */
  better: "higher" | "lower";
  /** One measurement. */
  ours: () => Promise<number>;
  /** Name of the peer, or of the bound that stands in for one. */
  peer: string;
  /** One measurement of the peer; a number where it is a published figure or a bound. */
  theirs: number | (() => Promise<number>);
};

/** What the last line of `--json` tells of a case; medians. `ratio` above 1: ours is better. */
export type Result = { case: string; unit: string; ours: number; peer: string; theirs: number; ratio: number };

/**
 * Measures the cases, ours and the peer in turn, `rounds` times each, so that whatever else the machine does hits both.
 * Prints each round as it comes, then a table; with `--json` among the arguments, one line of JSON last.
 * Options: `--json`, `--rounds N`, `--case TEXT` (only cases whose name contains it).
 */
export async function sideBySide(bench: string, cases: Case[], rounds: number): Promise<Result[]> {
  const results = await measure(cases, rounds);
  tell(bench, results);
  return results;
}

/** The first half of `sideBySide`: measures, and prints each round. */
export async function measure(cases: Case[], rounds: number): Promise<Result[]> {
  const { values } = parseArgs({
    options: { rounds: { type: "string" }, case: { type: "string" } },
    strict: false,
    allowPositionals: true,
  });
  const repeat = values.rounds === undefined ? rounds : Math.max(1, Number(values.rounds) || rounds);
  const chosen = cases.filter((one) => values.case === undefined || one.case.includes(String(values.case)));
  const results: Result[] = [];
  for (const one of chosen) {
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 1; round <= repeat; round++) {
      ours.push(await one.ours());
      theirs.push(typeof one.theirs === "number" ? one.theirs : await one.theirs());
      console.error(
        `${one.case}, round ${round} of ${repeat}: ${figure(ours.at(-1))} ${one.unit}; ${one.peer} ${figure(theirs.at(-1))}`,
      );
    }
    results.push(result(one, median(ours), median(theirs)));
  }
  return results;
}

/** The second half: the table, and the line for programs. */
export function tell(bench: string, results: readonly Result[]): void {
  const { values } = parseArgs({ options: { json: { type: "boolean" } }, strict: false, allowPositionals: true });
  console.log(table(results));
  if (values.json) console.log(JSON.stringify({ bench, results }));
}

/** The middle one of some figures; the mean of the middle two where their number is even. */
export function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

function result({ case: name, unit, better, peer }: Case, ours: number, theirs: number): Result {
  const ratio = better === "higher" ? ours / theirs : theirs / ours;
  return { case: name, unit, ours: round(ours), peer, theirs: round(theirs), ratio: round(ratio) };
}

function table(results: readonly Result[]): string {
  const rows = results.map(({ case: name, unit, ours, peer, theirs, ratio }) => [
    name,
    `${figure(ours)} ${unit}`,
    `${peer} ${figure(theirs)}`,
    `x ${ratio}`,
  ]);
  const head = ["case", "ingot", "peer", "ratio"];
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Three significant figures. */
function round(value: number): number {
  return Number(value.toPrecision(3));
}

function figure(value: number | undefined): string {
  return value === undefined ? "-" : String(round(value));
}
