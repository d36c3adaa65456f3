import pino from "pino";
import { describe, expect, it } from "vitest";
import { BootArchive } from "../../../src/boot/boot-archive.ts";
import type { BootClient } from "../../../src/boot/boot-client.ts";
import type { BootEvent } from "../../../src/boot/boot-event.ts";
import { type BootSession, isChainedIn } from "../../../src/boot/boot-session.ts";
import { DiscoveredMachines } from "../../../src/boot/discovered.ts";
import { Timeline } from "../../../src/boot/timeline.ts";
import type { Mac } from "../../../src/values/mac.ts";
import { MemoryRecords, mac } from "./boot-fixtures.ts";

const log = pino({ level: "silent" });
const firmware: BootClient = { mac, stage: "firmware", firmware: "bios" };
const ipxe: BootClient = { mac, stage: "ipxe", firmware: "bios", hasHttp: true, hasIscsi: true };

/** A timeline whose events are given as [second, stage, details]. */
function setUp(records = new MemoryRecords(), isNode: (mac: Mac) => boolean = () => true) {
  let now = 0;
  const archive = new BootArchive(records, log);
  const clock = { now: () => now, sleep: () => Promise.reject(new Error("not here")) };
  const timeline = new Timeline({ archive, isNode, clock });
  const see = (second: number, stage: BootEvent["stage"], details: Partial<BootEvent> = {}) => {
    now = second * 1000;
    timeline.sink({ mac, stage, at: now, ...details });
  };
  const at = (second: number) => {
    now = second * 1000;
  };
  const isChained = () => isChainedIn(timeline.bootOf(ipxe, "dhcp"));
  return { timeline, archive, records, see, at, isChained };
}

type Seen = [second: number, stage: BootEvent["stage"], details?: Partial<BootEvent>];
const pxeBoot = (start: number): Seen[] => [
  [start, "dhcp-firmware", { client: firmware }],
  [start + 1, "dhcp-firmware", { client: firmware }],
  [start + 2, "boot-file", { file: "undionly.kpxe", bytes: 74213, seconds: 0.4, retransmissions: 0 }],
  [start + 5, "dhcp-ipxe", { client: ipxe }],
  [start + 6, "script", { file: "sanboot", decision: "sanboot" }],
  [start + 7, "iscsi-login-firmware"],
  [start + 15, "dhcp-os"],
  [start + 16, "iscsi-login-os"],
  [start + 25, "ready"],
];
const romBoot = (start: number): Seen[] => [
  [start, "dhcp-ipxe", { client: ipxe }],
  [start + 1, "dhcp-ipxe", { client: ipxe }],
  [start + 2, "script", { file: "sanboot", decision: "sanboot" }],
  [start + 20, "ready"],
];

/** Sequences of events, and how the boots they make begin (seconds). */
const sessions: [name: string, events: Seen[], starts: number[]][] = [
  ["one PXE boot", pxeBoot(0), [0]],
  ["a reboot at once", [...pxeBoot(0), ...pxeBoot(26)], [0, 26]],
  ["a reboot with iPXE in the ROM", [...romBoot(0), ...romBoot(21)], [0, 21]],
  ["power-on, a long self-test, a boot", [[0, "power-on"], ...pxeBoot(900)], [0]],
  ["power-on again before anything was heard", [[0, "power-on"], [30, "power-on"], ...romBoot(60)], [0]],
  [
    "power-off before anything was heard",
    [[0, "power-on"], [30, "power-off"], [60, "power-on"], ...romBoot(70)],
    [0, 60],
  ],
  ["power-off, then the button", [...pxeBoot(0).slice(0, 2), [9, "power-off"], ...pxeBoot(20)], [0, 20]],
  ["a power-off alone", [[0, "power-off"]], []],
  ["power-on in the middle of a boot", [...pxeBoot(0).slice(0, 5), [8, "power-on"], ...pxeBoot(20)], [0, 8]],
  [
    "a ROM's iPXE that chains ours",
    [
      [0, "dhcp-ipxe", { client: ipxe, decision: "loader" }],
      [2, "boot-file"],
      [6, "dhcp-ipxe", { client: ipxe, decision: "script" }],
      [7, "script", { decision: "sanboot" }],
    ],
    [0],
  ],
  [
    "a ROM's iPXE without iSCSI, back from a loader that hung",
    [
      [0, "dhcp-ipxe", { client: { ...ipxe, hasIscsi: false, face: "rom" }, decision: "loader" }],
      [2, "boot-file"],
      [8, "dhcp-ipxe", { client: { ...ipxe, hasIscsi: false, face: "rom" }, decision: "loader" }],
    ],
    [0, 8],
  ],
  [
    "a ROM's iPXE that looks like ours, back after the time that a restart takes",
    [
      [0, "dhcp-ipxe", { client: { ...ipxe, face: "rom" }, decision: "loader" }],
      [2, "boot-file"],
      [18, "dhcp-ipxe", { client: { ...ipxe, face: "rom" }, decision: "loader" }],
    ],
    [0, 18],
  ],
  [
    "our iPXE, which looks like the ROM's",
    [
      [0, "dhcp-ipxe", { client: { ...ipxe, face: "rom" }, decision: "loader" }],
      [2, "boot-file"],
      [5, "dhcp-ipxe", { client: { ...ipxe, face: "rom" }, decision: "script" }],
      [25, "dhcp-ipxe", { client: { ...ipxe, face: "rom" }, decision: "script" }],
    ],
    [0],
  ],
  [
    "our iPXE with another face, on a port that blocks for a minute",
    [
      [0, "dhcp-ipxe", { client: { ...ipxe, hasIscsi: false, face: "rom" }, decision: "loader" }],
      [2, "boot-file"],
      [62, "dhcp-ipxe", { client: { ...ipxe, face: "ours" }, decision: "script" }],
    ],
    [0],
  ],
  [
    "a script that chains ours",
    [
      [0, "dhcp-ipxe", { client: ipxe }],
      [1, "script", { decision: "hold" }],
      [20, "script", { decision: "loader" }],
      [21, "boot-file"],
      [25, "dhcp-ipxe", { client: ipxe }],
      [26, "script", { decision: "sanboot" }],
    ],
    [0],
  ],
  [
    "a loader that takes two minutes to bring the link up",
    [
      [0, "dhcp-ipxe", { client: ipxe }],
      [2, "boot-file"],
      [122, "dhcp-ipxe", { client: ipxe }],
    ],
    [0],
  ],
  [
    "retries in a steady rhythm",
    [
      [0, "dhcp-firmware", { client: firmware }],
      [50, "dhcp-firmware", { client: firmware }],
      [100, "dhcp-firmware", { client: firmware }],
    ],
    [0],
  ],
  [
    "a pause of more than a minute",
    [
      [0, "dhcp-firmware", { client: firmware }],
      [61, "dhcp-firmware", { client: firmware }],
    ],
    [0, 61],
  ],
  [
    "a pause that a stranger fills",
    [
      [0, "dhcp-firmware", { client: firmware }],
      [50, "refused", { reason: "foreign-address" }],
      [61, "dhcp-firmware", { client: firmware }],
    ],
    [0, 61],
  ],
  [
    "firmware again after its loader was fetched",
    [
      [0, "dhcp-firmware", { client: firmware }],
      [2, "boot-file"],
      [9, "dhcp-firmware", { client: firmware }],
    ],
    [0, 9],
  ],
  [
    "a refusal before the reboot's first answer",
    [...pxeBoot(0), [30, "refused", { reason: "no-loader", client: firmware }]],
    [0, 30],
  ],
  [
    "an OS that renews for a day",
    [...romBoot(0), ...Array.from({ length: 48 }, (_, i): Seen => [1800 * (i + 1), "dhcp-os"])],
    [0],
  ],
  ["an OS that was never seen to boot", [[0, "dhcp-os"]], []],
  ["somebody asking in its name", [[0, "refused", { reason: "foreign-address" }]], []],
];

describe("Timeline", () => {
  it.each(sessions)("tells boots apart: %s", (_name, events, starts) => {
    const { timeline, see } = setUp();
    for (const event of events) see(...event);
    expect(timeline.boots(mac).map((one) => one.startedAt / 1000)).toEqual([...starts].reverse());
  });

  it("keeps each stage with its times and details", () => {
    const { timeline, see } = setUp();
    for (const event of pxeBoot(100)) see(...event);
    const session = timeline.current(mac)!;
    expect(session.stages.map(({ stage, at, times }) => [stage, at / 1000, times])).toEqual([
      ["dhcp-firmware", 100, 2],
      ["boot-file", 102, 1],
      ["dhcp-ipxe", 105, 1],
      ["script", 106, 1],
      ["iscsi-login-firmware", 107, 1],
      ["dhcp-os", 115, 1],
      ["iscsi-login-os", 116, 1],
      ["ready", 125, 1],
    ]);
    expect(session.stages[1]).toMatchObject({ file: "undionly.kpxe", bytes: 74213, seconds: 0.4, retransmissions: 0 });
    expect(session.client).toEqual(ipxe);
  });

  it("remembers that an offer was taken up, and that the machine was switched off", () => {
    const { timeline, see } = setUp();
    see(0, "dhcp-firmware", { client: firmware });
    see(1, "dhcp-firmware", { client: firmware, acknowledged: true });
    see(4, "dhcp-firmware", { client: firmware });
    see(9, "power-off");
    expect(timeline.current(mac)).toMatchObject({ switchedOffAt: 9000, stages: [{ acknowledged: true, times: 3 }] });
  });

  it("counts refusals by reason and bounds them", () => {
    const { timeline, see } = setUp();
    see(0, "dhcp-firmware", { client: firmware });
    for (let i = 1; i < 40; i++) see(i, "refused", { reason: "no-loader" });
    for (let i = 40; i < 80; i++) see(i, "refused", { reason: `reason ${i}` });
    const { refusals } = timeline.current(mac)!;
    expect(refusals[0]).toEqual({ reason: "no-loader", at: 1000, lastAt: 39_000, times: 39 });
    expect(refusals).toHaveLength(10);
  });

  it("knows from the fetched loader that our iPXE runs, until the script was sent", () => {
    const { isChained, see, at } = setUp();
    see(0, "dhcp-ipxe", { client: ipxe, decision: "loader" });
    expect(isChained()).toBe(false);
    see(2, "boot-file");
    expect(isChained()).toBe(true);
    see(5, "dhcp-ipxe", { client: ipxe, decision: "script" });
    expect(isChained()).toBe(true);
    see(6, "script", { decision: "sanboot" });
    at(8);
    expect(isChained()).toBe(false);
  });

  it("holds nothing against a loader whose iPXE was refused its script for want of arming", () => {
    const { timeline, see } = setUp();
    see(0, "dhcp-firmware", { client: firmware });
    see(2, "boot-file", { file: "undionly.kpxe" });
    see(5, "dhcp-ipxe", { client: ipxe });
    see(6, "refused", { reason: "unarmed" });
    see(90, "dhcp-firmware", { client: firmware });
    expect(timeline.current(mac)?.taught).toEqual({
      ...{ proven: ["undionly.kpxe"], rounds: 0, roundedAt: 0, reachedScript: false },
    });
  });

  it("ends the chaining of a loader whose fetch is never seen", () => {
    const { isChained, see } = setUp();
    let answers = 0;
    while (!isChained()) {
      see(answers, "dhcp-ipxe", { client: ipxe, decision: "loader" });
      answers += 1;
      if (answers > 20) break;
    }
    expect(answers).toBe(8);
  });

  it("ends the chaining by scripts, too, but not because the machine waited long before", () => {
    const { isChained, see } = setUp();
    see(0, "dhcp-ipxe", { client: ipxe });
    for (let i = 1; i < 100; i++) see(i, "script", { decision: "hold" });
    for (let i = 100; i < 106; i++) see(i, "script", { decision: "loader" });
    expect(isChained()).toBe(false);
    see(106, "script", { decision: "loader" });
    expect(isChained()).toBe(true);
  });

  it("keeps the last ten boots of a node, also over a restart", async () => {
    const { records, archive, see } = setUp();
    for (let i = 0; i < 13; i++) for (const event of romBoot(i * 100)) see(...event);
    await archive.settled();
    const { timeline } = setUp(records);
    const starts = timeline.boots(mac).map((one) => one.startedAt / 1000);
    expect(starts).toEqual([1200, 1100, 1000, 900, 800, 700, 600, 500, 400, 300]);
    expect(timeline.current(mac)!.stages.at(-1)!.stage).toBe("ready");
    expect(records.collection("boots").size).toBe(10);
  });

  it("writes nothing for repetitions, and tries again after the disk refused", async () => {
    const { records, archive, see } = setUp();
    records.failing = true;
    see(0, "dhcp-ipxe", { client: ipxe });
    await archive.settled();
    expect(records.collection("boots").size).toBe(0);
    records.failing = false;
    for (let i = 1; i < 50; i++) see(i, "dhcp-ipxe", { client: ipxe });
    await archive.settled();
    expect(records.commits).toBe(0);
    const other = "52:54:00:00:00:02" as Mac;
    see(51, "dhcp-ipxe", { mac: other });
    await archive.settled();
    expect(records.commits).toBe(1);
    expect([...records.collection<BootSession>("boots").values()].map((one) => one.mac)).toEqual([mac, other]);
    see(52, "script", { decision: "sanboot" });
    await archive.settled();
    expect([...records.collection<BootSession>("boots").values()].map((one) => one.stages.length)).toEqual([2, 1]);
  });

  it("remembers a thousand strangers, in memory, one boot each", async () => {
    const { timeline, archive, records } = setUp(new MemoryRecords(), () => false);
    const stranger = (i: number) =>
      `52:54:00:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}` as Mac;
    for (let i = 0; i < 1200; i++) {
      timeline.sink({ mac: stranger(i), stage: "dhcp-ipxe", at: i });
      timeline.sink({ mac: stranger(i), stage: "script", at: i });
      timeline.sink({ mac: stranger(i), stage: "dhcp-ipxe", at: i });
    }
    await archive.settled();
    expect(timeline.boots(stranger(199))).toEqual([]);
    expect(timeline.boots(stranger(200))).toHaveLength(1);
    expect(timeline.boots(stranger(1199))).toHaveLength(1);
    expect(records.commits).toBe(0);
  });

  it("wakes who waits for a stage, not for one that lies in the past", async () => {
    const { timeline, see } = setUp();
    for (const event of romBoot(0)) see(...event);
    const { signal } = new AbortController();
    await expect(timeline.waitFor(mac, "ready", 20_000, signal)).resolves.toMatchObject({ startedAt: 0 });
    let woken = false;
    const next = timeline.waitFor(mac, "ready", 20_001, signal).then((session) => {
      woken = true;
      return session;
    });
    see(100, "power-on");
    see(101, "dhcp-ipxe", { client: ipxe });
    await Promise.resolve();
    expect(woken).toBe(false);
    see(120, "ready");
    expect((await next).startedAt).toBe(100_000);
    see(130, "dhcp-ipxe", { client: ipxe });
    await expect(timeline.waitFor(mac, "ready", 110_000, signal)).resolves.toMatchObject({ startedAt: 100_000 });
  });

  it("lets go of who waits when the signal aborts", async () => {
    const { timeline } = setUp();
    const controller = new AbortController();
    const waiting = timeline.waitFor(mac, "ready", 0, controller.signal);
    controller.abort(new Error("deadline"));
    await expect(waiting).rejects.toThrow("deadline");
    await expect(timeline.waitFor(mac, "ready", 0, controller.signal)).rejects.toThrow("deadline");
  });

  it("forgets a node that was removed", async () => {
    const { timeline, archive, records, see } = setUp();
    for (const event of romBoot(0)) see(...event);
    await archive.settled();
    timeline.forget(mac);
    await archive.settled();
    expect(timeline.boots(mac)).toEqual([]);
    expect(records.collection("boots").size).toBe(0);
  });
});

describe("what boots teach about loaders", () => {
  const stuck = (start: number): Seen[] => pxeBoot(start).slice(0, 3);
  const taught = (timeline: Timeline) => timeline.bootOf(firmware, "dhcp").taught;

  it("is known from the first request of the next boot, and the same for all of its retries", () => {
    const { timeline, see, at } = setUp();
    for (const event of stuck(0)) see(...event);
    expect(taught(timeline)).toMatchObject({ failed: "undionly.kpxe", rounds: 1 });
    for (const second of [40, 44, 52]) {
      see(second, "dhcp-firmware", { client: firmware });
      at(second + 1);
      expect(taught(timeline)).toMatchObject({ failed: "undionly.kpxe", rounds: 1 });
    }
    expect(timeline.boots(mac)).toHaveLength(2);
  });

  it("is nothing of a loader that we gave no time, be it by power-off or by a restart", () => {
    for (const cut of ["power-off", "power-on"] as const) {
      const { timeline, see } = setUp();
      for (const event of stuck(0)) see(...event);
      see(10, cut);
      see(900, "power-on");
      expect(taught(timeline)).not.toHaveProperty("failed");
    }
  });

  it("is not the loader's fault when its fetch was never seen to end", () => {
    const { timeline, see } = setUp();
    see(0, "dhcp-firmware", { client: firmware, decision: "loader", file: "undionly.kpxe" });
    see(1, "refused", { reason: "boot-file-timeout", file: "undionly.kpxe" });
    see(300, "dhcp-firmware", { client: firmware });
    expect(taught(timeline)).toMatchObject({ proven: [], rounds: 0 });
    expect(taught(timeline)).not.toHaveProperty("failed");
  });

  it("outlives the boots that are kept, and a restart of the appliance, and goes with the node", async () => {
    const { records, archive, see } = setUp();
    for (const event of pxeBoot(0)) see(...event);
    for (let boot = 1; boot < 14; boot++) for (const event of romBoot(boot * 100)) see(...event);
    await archive.settled();
    const after = setUp(records);
    after.at(2000);
    expect(taught(after.timeline)).toMatchObject({ proven: ["undionly.kpxe"] });
    after.timeline.forget(mac);
    expect(taught(after.timeline)).toBeUndefined();
  });

  it("is kept of strangers in memory alone", async () => {
    const { timeline, archive, records, see } = setUp(new MemoryRecords(), () => false);
    for (const start of [0, 40, 80, 120]) for (const event of stuck(start)) see(...event);
    see(160, "dhcp-firmware", { client: firmware });
    expect(taught(timeline)).toMatchObject({ failed: "undionly.kpxe", rounds: 4 });
    await archive.settled();
    expect(timeline.boots(mac)).toHaveLength(1);
    expect(records.commits).toBe(0);
  });
});

describe("DiscoveredMachines", () => {
  it("lists machines of no node, the latest first, with what is known of them", () => {
    const nodes = new Set<Mac>();
    const machines = new DiscoveredMachines((one) => nodes.has(one));
    const other = "52:54:00:00:00:02" as Mac;
    machines.sink({
      mac,
      stage: "dhcp-firmware",
      at: 1,
      network: "rack1",
      client: { ...firmware, uuid: "u", vendorClass: "PXEClient" },
    });
    machines.sink({ mac: other, stage: "dhcp-os", at: 2, client: { mac: other, stage: "os" } });
    machines.sink({ mac, stage: "script", at: 3 });
    machines.sink({ mac: "52:54:00:00:00:03" as Mac, stage: "refused", reason: "foreign-address", at: 4 });
    expect(machines.list()).toEqual([
      { mac, firstSeenAt: 1, lastSeenAt: 3, network: "rack1", firmware: "bios", uuid: "u", vendorClass: "PXEClient" },
      { mac: other, firstSeenAt: 2, lastSeenAt: 2 },
    ]);
    nodes.add(mac);
    expect(machines.list().map((one) => one.mac)).toEqual([other]);
  });
});
