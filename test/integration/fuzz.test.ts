/** Mutants of captured packets to every server of a running ingotd. A million each: e2e/full/fuzz. */
import { fuzzEveryServer } from "./fuzz-cases.ts";

fuzzEveryServer({ name: "fuzz", control: 690 }, 10_000);
