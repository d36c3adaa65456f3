/** What every target server does, as its caller sees it. What initiators see: integration/storaged-targets. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TargetServer, TargetSpec, TargetUnit } from "../../src/drivers/targets/target-server.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { MemoryImageStore } from "../fakes/memory-image-store.ts";
import { MemoryTargetServer } from "../fakes/memory-target-server.ts";
import { throughStoraged } from "../integration/storaged-in-process.ts";
import { ALICE, BOB, TargetNetwork } from "../integration/target-network.ts";

const CONTROL = 301;
const signal = AbortSignal.timeout(100_000);
const directory = mkdtempSync(join(tmpdir(), "ingot-targets-"));
/** No daemon finds anything there. */
const LOST = join(directory, "lost.raw");
let network: TargetNetwork;

beforeAll(async () => {
  network = new TargetNetwork(CONTROL);
  await network.startTgtd();
});
afterAll(async () => {
  await network?.remove();
  rmSync(directory, { recursive: true });
});

function spec(disk: string): TargetSpec {
  const path = join(directory, `${disk}.raw`);
  writeFileSync(path, "");
  truncateSync(path, 8 * 1024 ** 2);
  return {
    iqn: targetIqn("app-test", disk),
    units: [{ lun: 1, disk, backing: { type: "file", path }, readOnly: false }],
    openTo: ALICE.address,
    chap: { user: `${disk}-1`, secret: "correct-horse-1" },
  };
}

const SUBJECTS: Record<string, () => Promise<{ targets: TargetServer; close?(): void }>> = {
  tgt: async () => ({ targets: createTgtServer() }),
  "tgt through storaged": async () =>
    throughStoraged(join(directory, "storaged.sock"), new MemoryImageStore(), createTgtServer()),
  "memory server (fake)": async () => {
    const targets = new MemoryTargetServer();
    targets.lost.add(LOST);
    return { targets };
  },
};

describe.each(Object.entries(SUBJECTS))("%s", (name, makeSubject) => {
  let targets: TargetServer;
  let close: (() => void) | undefined;
  const disk = (suffix: string) => `disk-${name.replace(/[^a-z]/g, "")}-${suffix}`;
  const find = async (iqn: string) => (await targets.list(CONTROL, signal)).find((one) => one.iqn === iqn);

  beforeAll(async () => ({ targets, close } = await makeSubject()));
  afterAll(() => close?.());

  it("serves a target, and a second time nothing changes", async () => {
    const target = spec(disk("twice"));
    await targets.ensureTarget(CONTROL, target, signal);
    const first = await find(target.iqn);
    expect(first).toEqual({
      iqn: target.iqn,
      units: [{ lun: 1, path: target.units[0]!.backing.path, readOnly: false }],
      writeThrough: true,
      openTo: [ALICE.address],
      accounts: [target.chap.user],
      sessions: [],
    });
    await targets.ensureTarget(CONTROL, target, signal);
    expect(await find(target.iqn)).toEqual(first);
  });

  it("serves no disk as two targets", async () => {
    const target = spec(disk("once"));
    await targets.ensureTarget(CONTROL, target, signal);
    const again = { ...target, iqn: targetIqn("app-other", "disk-once"), chap: { ...target.chap, user: "another" } };
    await expect(targets.ensureTarget(CONTROL, again, signal)).rejects.toMatchObject({ code: "IN_USE" });
    expect((await find(again.iqn))?.units ?? []).toEqual([]);
    await targets.removeTarget(CONTROL, target.iqn, signal);
    await targets.ensureTarget(CONTROL, again, signal);
    await targets.removeTarget(CONTROL, again.iqn, signal);
  });

  it("changes initiator, account and disk as told", async () => {
    const target = spec(disk("moving"));
    await targets.ensureTarget(CONTROL, target, signal);
    const moved = {
      ...target,
      openTo: BOB.address,
      chap: { user: `${target.chap.user}b`, secret: "another-horse-2" },
    };
    await targets.ensureTarget(CONTROL, moved, signal);
    expect(await find(target.iqn)).toMatchObject({ openTo: [BOB.address], accounts: [moved.chap.user] });
    const named = { ...moved, openTo: "iqn.2026-11.org.ingot:node-1" };
    await targets.ensureTarget(CONTROL, named, signal);
    expect(await find(target.iqn)).toMatchObject({ openTo: [named.openTo], accounts: [moved.chap.user] });
    await targets.ensureTarget(CONTROL, moved, signal);
    const other = { ...moved, units: spec(disk("other")).units };
    await targets.ensureTarget(CONTROL, other, signal);
    expect(await find(target.iqn)).toMatchObject({
      units: [{ lun: 1, path: other.units[0]!.backing.path }],
      openTo: [BOB.address],
    });
  });

  it("adds and takes away further LUNs, and makes one read-only", async () => {
    const target = spec(disk("luns"));
    const [root] = target.units;
    const [one, two] = ["one", "two"].map((end) => spec(disk(`luns-${end}`)).units[0]!);
    const served = async () => (await find(target.iqn))?.units;
    const shown = ({ lun, backing, readOnly }: TargetUnit) => ({ lun, path: backing.path, readOnly });
    const steps: TargetUnit[][] = [
      [root!, { ...one!, lun: 5 }],
      [root!, { ...two!, lun: 2, readOnly: true }, { ...one!, lun: 5 }],
      [root!, { ...two!, lun: 2, readOnly: false }, { ...one!, lun: 5, readOnly: true }],
      [root!, { ...one!, lun: 2 }, { ...two!, lun: 255 }],
      [root!],
    ];
    for (const units of steps) {
      for (const time of ["first", "second"]) {
        await targets.ensureTarget(CONTROL, { ...target, units: units.toReversed() }, signal);
        expect(await served(), time).toEqual(units.map(shown));
      }
    }
    await targets.removeTarget(CONTROL, target.iqn, signal);
    expect(await served()).toBeUndefined();
  });

  it("serves the rest of a target with a lost disk, and says which LUN is missing", async () => {
    const target = spec(disk("rest"));
    const [root] = target.units;
    const [other] = spec(disk("rest-other")).units;
    const lost: TargetUnit = { ...root!, lun: 2, disk: "disk-lost", backing: { type: "file", path: LOST } };
    const units = [root!, lost, { ...other!, lun: 3 }];
    await expect(targets.ensureTarget(CONTROL, { ...target, units }, signal)).rejects.toMatchObject({
      code: "DRIVER_FAILED",
      details: { luns: [2] },
    });
    const served = await find(target.iqn);
    expect(served).toMatchObject({ openTo: [ALICE.address], accounts: [target.chap.user] });
    expect(served?.units.map(({ lun }) => lun)).toEqual([1, 3]);
    await targets.removeTarget(CONTROL, target.iqn, signal);
  });

  it("removes a target, and what is gone is gone already", async () => {
    const [gone, stays] = [spec(disk("gone")), spec(disk("stays"))];
    await targets.ensureTarget(CONTROL, gone, signal);
    await targets.ensureTarget(CONTROL, stays, signal);
    await targets.removeTarget(CONTROL, gone.iqn, signal);
    await targets.removeTarget(CONTROL, gone.iqn, signal);
    expect(await find(gone.iqn)).toBeUndefined();
    expect(await find(stays.iqn)).toBeDefined();
    await targets.ensureTarget(CONTROL, gone, signal);
    expect(await find(gone.iqn)).toMatchObject({ accounts: [gone.chap.user] });
  });

  it("cuts sessions that are not there any more, of targets that are not there either", async () => {
    const target = spec(disk("cut"));
    await targets.ensureTarget(CONTROL, target, signal);
    const before = await find(target.iqn);
    await targets.cutSessions(CONTROL, target.iqn, ["4711"], signal);
    expect(await find(target.iqn)).toEqual(before);
    await targets.cutSessions(CONTROL, spec(disk("never")).iqn, ["1"], signal);
  });

  it("takes portals twice", async () => {
    const portals = [ALICE.portal, BOB.portal];
    await targets.ensurePortals(CONTROL, portals, [], signal);
    await targets.ensurePortals(CONTROL, portals, [], signal);
  });
});
