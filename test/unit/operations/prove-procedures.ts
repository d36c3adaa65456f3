import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import type { OperationRecord } from "../../../src/operations/operation.ts";
import type { Journal } from "../../../src/store/journal.ts";
import { journalWithAppend } from "../../fakes/journal-with-append.ts";
import { nothingLeftBehind, settled, World } from "./world.ts";

/** An operation: how to get a world ready for it, and how to begin it. */
export type Scenario = {
  prepare: (appliance: Appliance, world: World) => Promise<void>;
  begin: (appliance: Appliance) => Promise<OperationRecord>;
  /** Fails where something is not as it must be then; `failed` is the driver call that failed. `nothingLeftBehind` by default. */
  check?: (appliance: Appliance, world: World, failed?: string) => Promise<void>;
};

/** The operation's record once it is done. */
export async function done(appliance: Appliance, beginning: Promise<OperationRecord>): Promise<OperationRecord> {
  const operation = await settled(appliance, await beginning);
  expect(operation.state, JSON.stringify(operation.error)).toBe("done");
  return operation;
}

/**
 * The tests of operations: each is done, each of its driver calls is done twice and fails, and the appliance crashes
 * before and after each of its journal lines.
 */
export function proveProcedures(scenarios: Record<string, Scenario>, arrange: (world: World) => void = () => {}): void {
  let world: World;
  let prepared = 0;
  const newWorld = () => {
    const made = new World();
    arrange(made);
    return made;
  };
  /** What a request itself asks of drivers keeps it from being begun; that is no operation's failure. */
  const isBegun = (appliance: Appliance) => appliance.runner.list().length > prepared;
  beforeEach(() => {
    world = newWorld();
  });
  afterEach(() => world.end());

  describe.each(Object.entries(scenarios))("%s", (_name, scenario) => {
    const { check = async (appliance, of) => nothingLeftBehind(appliance, of) } = scenario;

    it("ends done and leaves nothing behind", async () => {
      const appliance = await world.start();
      await scenario.prepare(appliance, world);
      await done(appliance, scenario.begin(appliance));
      await check(appliance, world);
    });

    it("does every driver call twice and ends the same", async () => {
      // each call answers "lost connection" the first time, after the deed
      let armed = false;
      const seen = new Set<string>();
      let verbs = 0;
      const appliance = await world.start({
        before: (verb) => {
          if (!armed || !isBegun(appliance)) return;
          verbs += 1;
          if (seen.has(verb)) return;
          seen.add(verb);
          throw new ApplianceError("UNAVAILABLE", `${verb}: connection lost`);
        },
      });
      await scenario.prepare(appliance, world);
      prepared = appliance.runner.list().length;
      armed = true;
      await done(appliance, scenario.begin(appliance));
      expect(verbs).toBeGreaterThan(seen.size);
      armed = false;
      await check(appliance, world);
    });

    it("is undone, or stuck until retried, when any driver call fails", async () => {
      for (let failAt = 1; ; failAt++) {
        const each = newWorld();
        let calls = -1;
        let failed = "";
        const appliance = await each.start({
          before: (verb) => {
            if (calls < 0 || !isBegun(appliance)) return;
            calls += 1;
            if (calls !== failAt) return;
            failed = verb;
            throw new ApplianceError("DRIVER_FAILED", `${verb} failed`);
          },
        });
        await scenario.prepare(appliance, each);
        prepared = appliance.runner.list().length;
        calls = 0;
        const operation = await settledWithRetry(appliance, (await scenario.begin(appliance)).id);
        calls = -1;
        try {
          if (failed === "") {
            expect(operation.state).toBe("done");
            expect(failAt).toBeGreaterThan(1);
            break;
          }
          expect(["undone", "done"], failed).toContain(operation.state);
          await check(appliance, each, failed);
        } finally {
          await each.end();
        }
      }
    });

    it.each(["before", "after"])("survives a crash %s each journal line", async (moment) => {
      for (let crashAt = 1; ; crashAt++) {
        const each = newWorld();
        let lines = -1;
        let crashed: () => void = () => {};
        const crash = new Promise<void>((resolve) => {
          crashed = resolve;
        });
        let dead = false;
        const wrapJournal = (journal: Journal): Journal =>
          journalWithAppend(journal, (entry, durable, failed) => {
            if (lines >= 0 && !dead) {
              lines += 1;
              if (lines === crashAt) {
                dead = true;
                if (moment === "before") return crashed();
                return journal.append(entry, crashed, failed);
              }
            }
            if (!dead) journal.append(entry, durable, failed);
          });
        // a dead process calls no drivers
        const before = () => {
          if (dead) throw new ApplianceError("UNAVAILABLE", "the process is dead");
        };
        const appliance = await each.start({ wrapJournal, before });
        await scenario.prepare(appliance, each);
        lines = 0;
        const beginning = scenario.begin(appliance).then((operation) => appliance.runner.settled(operation.id));
        const outcome = await Promise.race([
          beginning.then(() => "over" as const),
          crash.then(() => "crashed" as const),
        ]);
        if (outcome === "over" && !dead) {
          expect(crashAt).toBeGreaterThan(2);
          await each.end();
          break;
        }
        each.crashed.add(appliance);
        const second = await each.start();
        for (const operation of second.runner.list()) {
          const end = await second.runner.settled(operation.id);
          expect(["done", "undone"], `line ${crashAt}: ${JSON.stringify(end.error)}`).toContain(end.state);
        }
        await check(second, each);
        await each.end();
      }
    });
  });
}

/** Retries a stuck operation once its cause is gone, as an operator would. */
async function settledWithRetry(appliance: Appliance, id: string): Promise<OperationRecord> {
  const operation = await appliance.runner.settled(id);
  if (operation.state !== "stuck") return operation;
  await appliance.runner.retry(id);
  return appliance.runner.settled(id);
}
