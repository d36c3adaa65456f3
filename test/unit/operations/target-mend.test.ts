import { afterEach, describe, expect, it, vi } from "vitest";
import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import { systemClock } from "../../../src/clock.ts";
import type { TargetSpec } from "../../../src/drivers/targets/target-server.ts";
import { ApplianceError } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { TargetWatch } from "../../../src/operations/target-watch.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import { MemoryTargetServer } from "../../fakes/memory-target-server.ts";
import { bootEntry, MemoryRecords } from "../boot/boot-fixtures.ts";

const iqn = (disk: string) => `iqn.2026-11.org.ingot:app-1:${disk}` as BootEntry["iqn"];
const entryOf = (node: string, network: string, disk: string) =>
  bootEntry({ node, nodeName: node, network, disk, iqn: iqn(disk) });

let watch: TargetWatch | undefined;
afterEach(() => watch?.stop());

/** A watch over networks rack1 (daemon 1) and rack2 (daemon 2), already looking. */
function watching(
  daemons: [MemoryTargetServer, MemoryTargetServer],
  entries: BootEntry[],
  records = new MemoryRecords(),
): TargetWatch {
  const of = (control: number) => daemons[control - 1] as MemoryTargetServer;
  for (const entry of entries) {
    (records.collection("bootEntries") as unknown as Map<string, object>).set(entry.node, entry);
  }
  const portals = [{ address: "10.20.0.1", port: 3260 }];
  const appliance = {
    id: "app-1",
    config: { networks: [1, 2].map((control) => ({ name: `rack${control}`, tgtd: { control }, portals })) },
    records,
    store: { backing: async (disk: string) => ({ type: "file", path: `/pool/${disk}` }) },
    targets: {
      list: (control: number) => of(control).list(),
      ensureTarget: (control: number, spec: TargetSpec) => of(control).ensureTarget(control, spec),
      removeTarget: (control: number, name: string) => of(control).removeTarget(control, name),
      ensurePortals: (control: number, wanted: typeof portals, served: string[]) =>
        of(control).ensurePortals(control, wanted as never, served),
    },
    traffic: { record: () => {} },
    runner: { holder: () => undefined },
    boots: { current: () => undefined },
    clock: { ...systemClock, sleep: (_: number, signal?: AbortSignal) => systemClock.sleep(1, signal) },
    log: { warn: () => {}, error: () => {}, info: () => {} },
  };
  watch = new TargetWatch(appliance as unknown as Appliance);
  watch.start();
  return watch;
}

const bound = (one: TargetWatch) => ({ openSince: (entry: BootEntry) => one.openSince(entry) });

/** A daemon that refuses one disk. */
class PickyServer extends MemoryTargetServer {
  refusals = 0;
  readonly #refuse: string;
  readonly #error: ApplianceError;

  constructor(disk: string, error: ApplianceError) {
    super();
    this.#refuse = iqn(disk);
    this.#error = error;
  }

  override async ensureTarget(control: number, target: TargetSpec): Promise<void> {
    if (target.iqn !== this.#refuse) return super.ensureTarget(control, target);
    this.refusals += 1;
    throw this.#error;
  }
}

describe("a target daemon that came back empty", () => {
  const entries = [entryOf("node-1", "rack1", "disk-lost"), entryOf("node-2", "rack1", "disk-2")];

  it("serves the other nodes when one disk is lost", async () => {
    const daemon = new PickyServer("disk-lost", new ApplianceError("DRIVER_FAILED", "tgtd can't open it"));
    watching([daemon, new MemoryTargetServer()], entries);
    await vi.waitFor(() => expect(daemon.portals).toHaveLength(1));
    expect([...daemon.targets.keys()]).toEqual([iqn("disk-2")]);
  });

  it("is open to those nodes alone whose targets are there", async () => {
    const daemon = new PickyServer("disk-lost", new ApplianceError("DRIVER_FAILED", "tgtd can't open it"));
    const { openSince } = bound(watching([daemon, new MemoryTargetServer()], entries));
    await vi.waitFor(() => expect(openSince(entries[1]!)).toBeDefined());
    expect(openSince(entries[0]!)).toBeUndefined();
  });

  it("opens no portal while a target may still come", async () => {
    const daemon = new PickyServer("disk-lost", new ApplianceError("UNAVAILABLE", "connection lost"));
    watching([daemon, new MemoryTargetServer()], entries);
    await vi.waitFor(() => expect(daemon.refusals).toBeGreaterThan(2));
    expect(daemon.portals).toEqual([]);
  });

  it("gets no target back whose entry was dropped during the look", async () => {
    const records = new MemoryRecords();
    const daemon = new MemoryTargetServer();
    const made: string[] = [];
    daemon.ensureTarget = async (control, target) => {
      made.push(target.iqn);
      // as an operation does while the first of many targets is made
      await records.commit([{ collection: "bootEntries", key: "node-2", value: null }]);
      await MemoryTargetServer.prototype.ensureTarget.call(daemon, control, target);
    };
    watching([daemon, new MemoryTargetServer()], entries, records);
    await vi.waitFor(() => expect(daemon.portals).toHaveLength(1));
    expect(made).toEqual([iqn("disk-lost")]);
  });

  it("is not kept waiting by another one that hangs", async () => {
    const hanging = new MemoryTargetServer();
    hanging.list = () => new Promise(() => {});
    const daemon = new MemoryTargetServer();
    watching([daemon, hanging], entries);
    await vi.waitFor(() => expect(daemon.targets.size).toBe(2));
    daemon.targets.clear();
    await vi.waitFor(() => expect(daemon.targets.size).toBe(2));
    watch = undefined;
  });
});

it("removes the target that a disk left behind on its former network", async () => {
  const former = new MemoryTargetServer();
  const moved = entryOf("node-1", "rack2", "disk-1");
  await former.ensureTarget(1, {
    ...moved,
    openTo: moved.address as Ipv4,
    units: [{ lun: 1, disk: "disk-1", backing: { type: "file", path: "/pool/disk-1" }, readOnly: false }],
  });
  const now = new MemoryTargetServer();
  watching([former, now], [moved]);
  await vi.waitFor(() => expect(former.targets.size).toBe(0));
  await vi.waitFor(() => expect([...now.targets.keys()]).toEqual([moved.iqn]));
});

it("makes a target anew that acknowledges writes before they are on disk", async () => {
  const daemon = new MemoryTargetServer();
  const entry = entryOf("node-1", "rack1", "disk-1");
  const units = [{ lun: 1, disk: "disk-1", backing: { type: "file", path: "/pool/disk-1" }, readOnly: false } as const];
  await daemon.ensureTarget(1, { ...entry, openTo: entry.address as Ipv4, units: [...units] });
  const { openSince } = bound(watching([daemon, new MemoryTargetServer()], [entry]));
  await vi.waitFor(() => expect(openSince(entry)).toBeDefined());
  const before = openSince(entry)!;
  await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(before));
  daemon.cached.add(entry.iqn);
  await vi.waitFor(() => expect(daemon.cached.size).toBe(0));
  // its sessions ended with it: the node has to come back first
  await vi.waitFor(() => expect(openSince(entry)).toBeGreaterThan(before));
});
