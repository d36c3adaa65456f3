/** A million mutants of captured packets to every server of a running ingotd: nothing ends, and nothing grows. */
import { expect } from "vitest";
import { fuzzEveryServer } from "../../integration/fuzz-cases.ts";

/** Node lets its heap grow before it cleans up: what counts is that the second half of a run adds next to nothing. */
const MOST_GROWTH = 1.15;

fuzzEveryServer({ name: "fuzzfull", control: 691 }, 1_000_000, ({ resources }) => {
  const [, , middle, end] = resources.map(({ residentMiB }) => residentMiB);
  expect(end, "MiB resident at the end").toBeLessThan((middle as number) * MOST_GROWTH);
});
