import { afterEach, describe, expect, it } from "vitest";
import type { BootEvent } from "../../../src/boot/boot-event.ts";
import type { TargetSession } from "../../../src/drivers/targets/target-server.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { TargetWatch } from "../../../src/operations/target-watch.ts";
import { bootEntry, MemoryRecords, mac } from "../boot/boot-fixtures.ts";

const MIB = 1024 * 1024;
const session = (id: string, readBytes: number, writtenBytes = 0): TargetSession => ({
  ...{ id, initiator: "iqn.test", addresses: ["10.20.0.7"], readBytes, writtenBytes },
});

/** A watch over one node, whose looks at the daemon are made one by one; `underWay`: its boot was, when the watch began. */
function watching({ entry = bootEntry(), underWay = false } = {}) {
  const events: BootEvent[] = [];
  let sessions: TargetSession[] = [];
  let now = 1000;
  let wake = () => {};
  let asleep = () => {};
  let slept = new Promise<void>((resolve) => {
    asleep = resolve;
  });
  const { iqn, address, chap } = entry;
  const appliance = {
    id: "app-1",
    config: { networks: [{ name: entry.network, tgtd: { control: 1 }, portals: entry.portals }] },
    records: new MemoryRecords(),
    targets: {
      list: async () => [{ iqn, units: [], writeThrough: true, openTo: [address], accounts: [chap.user], sessions }],
      ensurePortals: async () => {},
    },
    traffic: { record: () => {} },
    runner: { holder: () => undefined },
    boots: { current: () => (underWay ? { startedAt: now, stages: [] } : undefined) },
    nodes: { findByMac: () => ({ id: entry.node }) },
    bootEvents: (event: BootEvent) => events.push(event),
    clock: {
      now: () => now,
      sleep: (_ms: number, signal: AbortSignal) =>
        new Promise<void>((resolve) => {
          wake = resolve;
          signal.addEventListener("abort", () => resolve());
          asleep();
        }),
    },
    log: { warn: () => {}, error: () => {}, info: () => {} },
  };
  (appliance.records.collection("bootEntries") as unknown as Map<string, object>).set(entry.node, entry);
  const watch = new TargetWatch(appliance as unknown as Appliance);
  watch.start();
  return {
    watch,
    boots: () => watch.onBootEvent({ mac, stage: "script", decision: "sanboot", at: now }),
    /** What this look at the daemon adds to the timeline. */
    async look(...there: TargetSession[]): Promise<string[]> {
      await slept;
      events.length = 0;
      sessions = there;
      now += 250;
      slept = new Promise((resolve) => {
        asleep = resolve;
      });
      wake();
      await slept;
      return events.map(({ stage }) => stage);
    },
  };
}

describe("logins seen by looking at the target daemon", () => {
  let stop: () => Promise<void> = async () => {};
  afterEach(() => stop());

  function start(underWay = false) {
    const world = watching({ underWay });
    stop = () => world.watch.stop();
    return world;
  }

  it("are iPXE's first and the OS's second", async () => {
    const { look, boots } = start();
    await look();
    boots();
    expect(await look(session("1", 0))).toEqual(["iscsi-login-firmware"]);
    expect(await look(session("1", 512))).toEqual(["first-read"]);
    expect(await look(session("1", 20 * MIB))).toEqual([]);
    expect(await look(session("1", 20 * MIB), session("2", 0))).toEqual(["iscsi-login-os"]);
    expect(await look(session("2", 4096), session("3", 0, 512))).toEqual([]);
  });

  it("of a BIOS's iPXE are two, the first of which may be gone at once", async () => {
    const { look, boots } = start();
    await look();
    boots();
    expect(await look(session("1", 1024))).toEqual(["iscsi-login-firmware", "first-read"]);
    expect(await look(session("2", 0))).toEqual([]);
    expect(await look(session("2", 20 * MIB))).toEqual([]);
    expect(await look(session("2", 20 * MIB), session("3", 0))).toEqual(["iscsi-login-os"]);
  });

  it("of a BIOS's iPXE are two, both of which may be there", async () => {
    const { look, boots } = start();
    await look();
    boots();
    expect(await look(session("1", 1024), session("2", 0))).toEqual(["iscsi-login-firmware", "first-read"]);
    expect(await look(session("1", 1024), session("2", 20 * MIB), session("3", 0))).toEqual(["iscsi-login-os"]);
  });

  it("leave sessions of the boot before out", async () => {
    const { look, boots } = start();
    await look(session("1", 20 * MIB, 4096));
    boots();
    expect(await look(session("1", 20 * MIB, 4096), session("2", 512))).toEqual(["iscsi-login-firmware", "first-read"]);
  });

  it("are the OS's where it has written, though no other was seen", async () => {
    const { look, boots } = start();
    await look();
    boots();
    expect(await look(session("9", 4096, 4096))).toEqual(["iscsi-login-os"]);
  });

  it("are the OS's once it writes, where a former run saw the boot begin", async () => {
    const { look } = start(true);
    expect(await look(session("9", 4096))).toEqual(["iscsi-login-firmware", "first-read"]);
    expect(await look(session("9", 8192, 512))).toEqual(["iscsi-login-os"]);
  });

  it("are still iPXE's when GRUB writes through it", async () => {
    const { look, boots } = start();
    await look();
    boots();
    expect(await look(session("1", 4096))).toEqual(["iscsi-login-firmware", "first-read"]);
    expect(await look(session("1", 8192, 512))).toEqual([]);
    expect(await look(session("1", 20 * MIB, 512), session("2", 0))).toEqual(["iscsi-login-os"]);
  });
});
