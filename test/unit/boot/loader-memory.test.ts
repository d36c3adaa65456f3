import { describe, expect, it } from "vitest";
import { type Attempt, chooseLoader, type LoaderMemory, learn, loopOf } from "../../../src/boot/loader-memory.ts";

const MINUTE = 60_000;
const X = "snponly.efi";
const Y = "ipxe.efi";
const Z = "third.efi";

/** Came round by itself two minutes after it began, stuck behind its loader. */
const attempt = (startedAt: number, facts: Partial<Attempt> = {}): Attempt => ({
  startedAt,
  lastAt: startedAt + 10_000,
  loader: { file: X, at: startedAt + 10_000 },
  reachedScript: false,
  wasSentToBoot: true,
  reachedDisk: false,
  ...facts,
});
const up = { reachedScript: true, reachedDisk: true };
const seen = (file: string, at: number) => ({ loader: { file, at } });

/** The memory after boots that follow each other. */
function after(...attempts: [Attempt, endsAt: number][]): LoaderMemory {
  return attempts.reduce<LoaderMemory | undefined>((memory, [one, at]) => learn(memory, one, at), undefined)!;
}

describe("which loader", () => {
  const choose = (memory: LoaderMemory | undefined, files = [X, Y]) => chooseLoader(files, memory);

  it("is the first that is configured, as long as nothing was learnt", () => {
    expect(choose(undefined)).toEqual({ file: X });
    expect(choose(undefined, [])).toBeUndefined();
  });

  it("is the other one after a failure, the one that worked from then on, and the first again when that one fails", () => {
    const second = after([attempt(0), 2 * MINUTE]);
    expect(choose(second)).toEqual({ file: Y, why: `${X} led nowhere in the last attempt` });
    const third = learn(second, attempt(2 * MINUTE, { ...seen(Y, 3 * MINUTE), ...up }), 9 * MINUTE);
    expect(choose(third)).toEqual({ file: Y, why: "it worked in an earlier boot" });
    const fourth = learn(third, attempt(9 * MINUTE, seen(Y, 9 * MINUTE)), 11 * MINUTE);
    expect(choose(fourth)).toEqual({ file: X, why: `${Y} led nowhere in the last attempt` });
  });

  it("goes through all of them, and round", () => {
    let memory: LoaderMemory | undefined;
    const tried: string[] = [];
    for (let round = 0; round < 4; round++) {
      const { file } = choose(memory, [X, Y, Z])!;
      tried.push(file);
      memory = learn(memory, attempt(round * MINUTE, seen(file, round * MINUTE)), (round + 1) * MINUTE);
    }
    expect(tried).toEqual([X, Y, Z, X]);
  });

  it("is the other one after two rounds that got a script and reached no disk", () => {
    let memory: LoaderMemory | undefined;
    const tried: string[] = [];
    for (let round = 0; round < 6; round++) {
      const { file } = choose(memory)!;
      tried.push(file);
      memory = learn(
        memory,
        attempt(round * MINUTE, { ...seen(file, round * MINUTE), reachedScript: true }),
        (round + 1) * MINUTE,
      );
    }
    expect(tried).toEqual([X, X, Y, Y, X, X]);
    const held = attempt(6 * MINUTE, { ...seen(X, 6 * MINUTE), reachedScript: true, wasSentToBoot: false });
    expect(choose(learn(memory, held, 7 * MINUTE))).toEqual({ file: X });
  });

  it("stays the same after a boot that fetched none: that is TFTP's fault, not the loader's", () => {
    const { loader: _, ...unfetched } = attempt(0, { wasSentToBoot: false });
    expect(choose(after([unfetched, 2 * MINUTE]))).toEqual({ file: X });
    expect(choose(after([attempt(0), 2 * MINUTE], [unfetched, 4 * MINUTE]))).toMatchObject({ file: Y });
  });

  it("stays the same when we cut the power before the loader could show anything", () => {
    const fetched = attempt(0);
    expect(choose(after([{ ...fetched, cutAt: 39_999 }, 60 * MINUTE]))).toEqual({ file: X });
    expect(choose(after([{ ...fetched, cutAt: 40_000 }, 60 * MINUTE]))).toMatchObject({ file: Y });
  });

  it("is none that is not configured any more", () => {
    const memory = after([attempt(0), MINUTE], [attempt(MINUTE, { ...seen(Y, MINUTE), ...up }), 9 * MINUTE]);
    expect(choose(memory, [X])).toEqual({ file: X });
    expect(choose(memory, [Z, X])).toEqual({ file: Z });
    expect(choose(after([attempt(0), MINUTE]), [Z, Y])).toEqual({ file: Z });
  });

  it("is remembered for the four that worked last", () => {
    const boots = ["a", "b", "c", "d", "e", "b"].map((file, index): [Attempt, number] => [
      attempt(index * MINUTE, { ...seen(file, index * MINUTE), ...up }),
      (index + 1) * MINUTE,
    ]);
    expect(after(...boots).proven).toEqual(["b", "e", "d", "c"]);
  });
});

describe("a boot loop", () => {
  /** Boots of two minutes, one after the other, and the moment after the last. */
  function rounds(count: number, facts: Partial<Attempt> = {}, memory?: LoaderMemory) {
    let now = 0;
    let known = memory;
    for (let round = 0; round < count; round++) {
      known = learn(known, attempt(now, facts), now + 2 * MINUTE);
      now += 2 * MINUTE;
    }
    return { memory: known!, now };
  }
  const inLoop = ({ memory, now }: ReturnType<typeof rounds>) => loopOf(memory, now);

  it("is the fourth boot in a row that came to nothing, and is named by what it came to", () => {
    expect(loopOf(undefined, 0)).toBeUndefined();
    expect(inLoop(rounds(3))).toBeUndefined();
    expect(inLoop(rounds(4))).toEqual({ rounds: 4, after: "loader" });
    expect(inLoop(rounds(4, { reachedScript: true }))).toEqual({ rounds: 4, after: "script" });
  });

  it.each<[string, Partial<Attempt>]>([
    ["that reach their disk", up],
    ["that are sent on, or held on a screen", { wasSentToBoot: false }],
    ["that we cut short", { cutAt: MINUTE }],
  ])("is not made of boots %s", (_, facts) => {
    expect(inLoop(rounds(9, facts))).toBeUndefined();
  });

  it("is not made of boots with long pauses between them", () => {
    const memory = after(
      ...[0, 1, 2, 3, 4].map((n): [Attempt, number] => [attempt(n * 16 * MINUTE), (n + 1) * 16 * MINUTE]),
    );
    expect(memory.rounds).toBe(0);
  });

  it("stays one while it is held, ends by a power action through us, and after fifteen minutes", () => {
    const { memory, now } = rounds(4);
    const heldBoot = attempt(now, { loader: undefined, wasSentToBoot: false });
    expect(loopOf(learn(memory, heldBoot, now + MINUTE), now + MINUTE)).toEqual({ rounds: 4, after: "loader" });
    expect(loopOf(learn(memory, { ...heldBoot, cutAt: now + MINUTE }, now + MINUTE), now + MINUTE)).toBeUndefined();
    expect(loopOf(memory, now + 15 * MINUTE - 1)).toBeDefined();
    expect(loopOf(memory, now + 15 * MINUTE)).toBeUndefined();
  });

  it("gets one attempt every fifteen minutes while its screen keeps asking", () => {
    const { memory, now } = rounds(4, { reachedScript: true });
    const again = now + 15 * MINUTE;
    const tried = attempt(now, { lastAt: again, reachedScript: true });
    expect(loopOf(learn(memory, tried, again + MINUTE), again + MINUTE)).toEqual({ rounds: 5, after: "script" });
  });
});
