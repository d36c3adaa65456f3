import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { TokenRegistry } from "../../../src/access/token-registry.ts";
import { UserRegistry } from "../../../src/access/user-registry.ts";
import { keepTenures } from "../../../src/audit/keep-tenures.ts";
import { BootArchive } from "../../../src/boot/boot-archive.ts";
import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import { Timeline } from "../../../src/boot/timeline.ts";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { configSchema } from "../../../src/config/schema.ts";
import { DiskCatalogue } from "../../../src/disks/disk-catalogue.ts";
import type { NetworkIsolator } from "../../../src/drivers/isolation/network-isolator.ts";
import type { PowerControl } from "../../../src/drivers/power/power-control.ts";
import { ImageCatalogue } from "../../../src/images/image-catalogue.ts";
import { LeaseTable } from "../../../src/leases/lease-table.ts";
import { createLog } from "../../../src/log.ts";
import { NetworkCatalogue } from "../../../src/networks/network-catalogue.ts";
import { ALLOCATIONS, type AllocationRecord } from "../../../src/nodes/allocation.ts";
import type { NodeRecord } from "../../../src/nodes/node.ts";
import { type NewNode, NodeRegistry } from "../../../src/nodes/node-registry.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { type NicNetwork, recordedNetworks } from "../../../src/operations/compare-nodes.ts";
import { DiskTraffic } from "../../../src/operations/disk-traffic.ts";
import { LastDrift } from "../../../src/operations/drift-watch.ts";
import { Incoming } from "../../../src/operations/incoming.ts";
import type { OperationRecord } from "../../../src/operations/operation.ts";
import { OperatorRequests } from "../../../src/operations/operator-requests.ts";
import { PoolWatch } from "../../../src/operations/pool-watch.ts";
import { registerProcedures } from "../../../src/operations/procedures.ts";
import { RecordMirror } from "../../../src/operations/record-mirror.ts";
import { OperationRunner } from "../../../src/operations/runner.ts";
import { Uploads } from "../../../src/operations/uploads.ts";
import { ProjectRegistry } from "../../../src/projects/project-registry.ts";
import type { Journal } from "../../../src/store/journal.ts";
import { Store } from "../../../src/store/store.ts";
import { parseMac } from "../../../src/values/mac.ts";
import { failing } from "../../fakes/failing.ts";
import { MemoryImageExchange } from "../../fakes/memory-image-exchange.ts";
import { MemoryImageStore } from "../../fakes/memory-image-store.ts";
import { MemoryIsolator } from "../../fakes/memory-isolator.ts";
import { MemoryPoolCatalogue } from "../../fakes/memory-pool-catalogue.ts";
import { MemoryPoolLeases } from "../../fakes/memory-pool-leases.ts";
import { MemoryPoolSpace } from "../../fakes/memory-pool-space.ts";
import { MemoryPower } from "../../fakes/memory-power.ts";
import { MemoryTargetServer } from "../../fakes/memory-target-server.ts";
import { throughVerbs } from "../../fakes/through-verbs.ts";

const newConfig = (isolation: object) =>
  configSchema.parse({
    isolation,
    networks: [
      {
        vlan: 20,
        name: "prov",
        interface: "prov0",
        address: "10.20.0.1",
        subnet: "10.20.0.0/24",
        pool: [{ from: "10.20.0.100", to: "10.20.0.110" }],
        portals: [{ address: "10.20.0.1" }],
        tgtd: { control: 1 },
      },
    ],
    operations: { loginSeconds: 1, readySeconds: 1, softOffSeconds: 1, bmcSeconds: 5 },
  });

/** The outside world of one appliance: it survives when the appliance crashes. */
export class World {
  readonly directory = mkdtempSync(join(tmpdir(), "ingot-operations-"));
  readonly space = new MemoryPoolSpace();
  readonly images = new MemoryImageStore(this.space);
  readonly exchange = new MemoryImageExchange(this.images);
  readonly catalogue = new MemoryPoolCatalogue(this.images, this.images.descriptions);
  readonly poolLeases = new MemoryPoolLeases();
  readonly targets = new MemoryTargetServer();
  /** Of the appliance that is started here. */
  id = "app-test";
  readonly power = new Map<string, MemoryPower>();
  readonly isolator = new MemoryIsolator({
    "node-1": ["port-1", "other-1"],
    "node-2": ["port-2", "other-2"],
    "node-3": ["port-3"],
  });
  /** Whether the appliances that start from now on isolate nodes. */
  isolated = false;
  /** Whether nodes come up when they are powered on. */
  nodesBoot = true;
  /** Set by tests that crash an appliance: its operations never settle. */
  readonly crashed = new Set<Appliance>();
  readonly #runs: { store: Store; appliance: Appliance }[] = [];

  /** Starts an appliance on this world: its first, or one after a crash. `before` is asked before each driver call. */
  async start(
    options: { wrapJournal?: (journal: Journal) => Journal; before?: (verb: string) => void } = {},
  ): Promise<Appliance> {
    const log = createLog("silent");
    const { wrapJournal, before = () => {} } = options;
    const config = newConfig(this.isolation());
    const clock: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 5), signal) };
    const store = await Store.open(this.directory, log, wrapJournal ? { wrapJournal } : {});
    const records = keepTenures(store, systemClock);
    const projects = new ProjectRegistry({ records, clock: systemClock });
    const nodes = new NodeRegistry({ records, config, clock: systemClock });
    const isNode = (mac: Parameters<NodeRegistry["findByMac"]>[0]) => nodes.findByMac(mac) !== undefined;
    const timeline = new Timeline({ archive: new BootArchive(store, log), isNode, clock: systemClock });
    const [images, disks] = [new ImageCatalogue(store), new DiskCatalogue(store)];
    const drivers = throughVerbs({
      ...{ images: this.images, space: this.space, catalogue: this.catalogue, leases: this.poolLeases },
      ...{ exchange: this.exchange, targets: this.targets },
    });
    const catalogue = failing(drivers.catalogue, (verb) => before(`catalogue.${verb}`));
    const { id } = this;
    const tokens = new TokenRegistry({ records: store, clock: systemClock });
    const appliance: Appliance = {
      id,
      config,
      records,
      runner: new OperationRunner({ records, clock, log, checkProject: (name) => projects.get(name) }),
      projects,
      tokens,
      users: new UserRegistry({ records: store, tokens, clock: systemClock }),
      nodes,
      images,
      networks: new NetworkCatalogue(store),
      disks,
      leases: new LeaseTable(config.networks, store, nodes, systemClock),
      dhcp: () => undefined,
      bootEvents: timeline.sink,
      boots: timeline,
      store: failing(drivers.images, (verb) => before(`images.${verb}`)),
      space: failing(drivers.space, (verb) => before(`space.${verb}`)),
      catalogue,
      poolLeases: failing(drivers.leases, (verb) => before(`poolLeases.${verb}`)),
      exchange: failing(drivers.exchange, (verb) => before(`exchange.${verb}`)),
      mirror: new RecordMirror({ id, images, disks, nodes, catalogue, clock, log }),
      incoming: new Incoming({ directory: join(this.directory, "incoming"), maxBytes: 1024 ** 2 }),
      fetchFile: async ({ path, checkSize }) => {
        before("fetch");
        await checkSize(7);
        writeFileSync(path, "content");
        return { sizeBytes: 7 };
      },
      pool: new PoolWatch({ store: this.images, space: this.space, config, clock, log }),
      targets: failing(drivers.targets, (verb) => before(`targets.${verb}`)),
      powerOf: (node) => failing(this.powerOf(appliance, node), (verb) => before(`power.${verb}`)),
      isolator: () => failing(this.isolatorOf(), (verb) => before(`isolator.${verb}`)),
      foreignAuthenticators: [],
      drift: new LastDrift(),
      traffic: new DiskTraffic(),
      lookAtPortals: () => ({ isApart: false, open: new Set(["10.20.0.1:3260"]), peers: [] }),
      unarmedRequests: new WeakMap(),
      operatorRequests: new OperatorRequests(clock),
      clock,
      log,
    };
    registerProcedures(appliance, new Uploads(appliance));
    appliance.runner.resume();
    this.#runs.push({ store, appliance });
    return appliance;
  }

  /** The configuration of the appliances that start from now on. */
  protected isolation(): object {
    const ovs = { bridge: "rack", socket: "/db.sock", vlans: { first: 100, last: 199 } };
    return this.isolated ? { driver: "ovs", ovs } : {};
  }

  protected isolatorOf(): NetworkIsolator {
    return this.isolator;
  }

  protected powerOf(appliance: Appliance, { id }: NodeRecord): PowerControl {
    const power = this.power.get(id) ?? new MemoryPower();
    this.power.set(id, power);
    power.onPowerOn = () => this.boot(appliance, id);
    return power;
  }

  /** What a node does that was switched on. */
  protected boot(appliance: Appliance, node: string): void {
    const entry = appliance.records.collection<BootEntry>("bootEntries").get(node);
    if (!entry || !this.nodesBoot) return;
    this.targets.login(entry.iqn);
    const at = Date.now();
    for (const stage of ["iscsi-login-os", "ready"] as const) {
      // as a machine does it: later, and whether or not anybody listens
      setImmediate(() => appliance.bootEvents({ mac: entry.mac, stage, at: Math.max(at, Date.now()) }));
    }
  }

  async end(): Promise<void> {
    for (const { appliance } of this.#runs) if (!this.crashed.has(appliance)) await appliance.runner.stop();
    for (const { store } of this.#runs.splice(0)) await store.close().catch(() => {});
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export function newNode(name: string, last: number): NewNode {
  const mac = parseMac(`52:54:00:00:00:${last.toString(16).padStart(2, "0")}`);
  return {
    name,
    project: "default",
    nics: [
      { mac, network: "prov", role: "boot", port: `port-${last}` },
      { mac: parseMac(mac.replace("52:54:00", "52:54:01")), role: "data", port: `other-${last}` },
    ],
    firmware: "bios",
    loader: "auto",
    power: { driver: "ipmi", address: "127.0.0.1", port: 623, user: "admin" },
  };
}

/** Waits for an operation and its whole aftermath. */
export async function settled(appliance: Appliance, operation: OperationRecord): Promise<OperationRecord> {
  return appliance.runner.settled(operation.id);
}

const sorted = (networks: NicNetwork[]) =>
  networks.map(({ nic, network, channel }) => `${nic} ${network} ${channel}`).sort();

/** Fails when the isolator has a node that no record knows of, or has it elsewhere. */
export async function isolatedAsRecorded(appliance: Appliance, world: World): Promise<void> {
  const allocations = appliance.records.collection<AllocationRecord>(ALLOCATIONS);
  const provisioned = [...appliance.records.collection<BootEntry>("bootEntries").values()].map(({ node }) => node);
  const { networks } = appliance;
  const made = [...world.isolator.networks.keys()].filter((one) => one.includes("."));
  expect(made.sort()).toEqual(
    networks
      .list()
      .map(({ isolatedAs }) => isolatedAs)
      .sort(),
  );
  for (const { isolatedAs, sharedWith = [], ready } of networks.list()) {
    expect(ready).toBe(true);
    expect(world.isolator.access.get(isolatedAs) ?? []).toEqual(sharedWith);
  }
  expect([...allocations.entries()].map(([id]) => id).sort()).toEqual(world.isolated ? provisioned.sort() : []);
  for (const { name, project, nics } of await world.isolator.nodes()) {
    const node = appliance.nodes.list().find((one) => one.name === name);
    const allocation = node && allocations.get(node.id);
    expect(project, name).toBe(allocation?.isolated.project);
    if (node && !allocation) expect(appliance.networks.membershipsOf(node.id)).toEqual([]);
    const wanted = node ? recordedNetworks(appliance, node.id) : [];
    const found = nics.flatMap(({ name: nic, networks }) => networks.map((one) => ({ nic, ...one })));
    expect(sorted(found), name).toEqual(sorted(wanted));
  }
}

/** Fails when records, pool, targets and nodes disagree, or something is there that no record knows. */
export function nothingLeftBehind(appliance: Appliance, world: World): void {
  const entries = [...appliance.records.collection<BootEntry>("bootEntries").values()];
  const disks = appliance.disks.all();
  const images = appliance.images.list();
  const stored = [...world.images.contents.keys()].sort();
  expect(stored).toEqual([...disks.map((one) => `disk/${one.id}`), ...images.map((one) => `image/${one.id}`)].sort());
  const limited = disks.flatMap(({ id, limits }) => (limits ? [[id, limits] as const] : []));
  expect(world.images.limits).toEqual(new Map(limited));
  const has = (node: string) => disks.filter((one) => one.node === node);
  for (const { iqn, node } of entries) {
    const units = world.targets.targets.get(iqn)?.units.map(({ lun, disk, readOnly }) => ({ lun, disk, readOnly }));
    const attached = has(node).map(({ id, dataLun }) => ({ disk: id, ...(dataLun ?? { lun: 1, readOnly: false }) }));
    expect(units?.sort((a, b) => a.lun - b.lun)).toEqual(attached.sort((a, b) => a.lun - b.lun));
  }
  expect([...world.targets.targets.keys()].sort()).toEqual(entries.map((one) => one.iqn).sort());
  expect(disks.filter((one) => one.dataLun && !one.node)).toEqual([]);
  expect(disks.flatMap((one) => (one.node && !one.dataLun ? [one.node] : [])).sort()).toEqual(
    entries.map((one) => one.node).sort(),
  );
  const provisioned = entries.map((one) => one.node);
  expect(disks.filter((one) => one.node && !provisioned.includes(one.node))).toEqual([]);
  expect([...appliance.records.collection("secrets").entries()].map(([key]) => key).sort()).toEqual(
    entries.map((one) => one.disk).sort(),
  );
  const leases = [...appliance.records.collection<{ mac: string }>("leases").values()];
  expect(leases.map((one) => one.mac).sort()).toEqual(entries.map((one) => one.mac).sort());
  expect(images.every((one) => one.ready)).toBe(true);
  expect(world.exchange.unfinished).toEqual(new Set());
  const exported = [...world.exchange.manifests.values(), ...world.exchange.volumes.values()];
  const exports = appliance.runner.list().filter(({ kind, state }) => kind === "export-image" && state === "done");
  // others' volumes stay
  expect(exported.length).toBe(exports.length + 1);
  const incoming = join(world.directory, "incoming");
  const uploads = [...appliance.records.collection("uploads").entries()].map(([id]) => id);
  expect(existsSync(incoming) ? readdirSync(incoming).sort() : []).toEqual(uploads.sort());
  expect(world.space.fileBytes).toBe(world.space.filesystemBytes);
  const unprovisioned = appliance.nodes.list().filter((node) => !entries.some((entry) => entry.node === node.id));
  for (const node of unprovisioned) expect(world.power.get(node.id)?.state ?? "off", node.name).toBe("off");
}
