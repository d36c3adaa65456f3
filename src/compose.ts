import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createForeignAuthenticators } from "./access/foreign-authenticators.ts";
import { TokenRegistry } from "./access/token-registry.ts";
import { UserRegistry } from "./access/user-registry.ts";
import { AuditLog } from "./audit/audit-log.ts";
import { alignTenures, forgetTenures, keepTenures } from "./audit/keep-tenures.ts";
import { chosenOwners, leaseOwners, linkOwners } from "./boot/address-owners.ts";
import { createBootAnswers } from "./boot/boot-answers.ts";
import { BootArchive } from "./boot/boot-archive.ts";
import type { BootEventSink } from "./boot/boot-event.ts";
import { find } from "./boot/boot-session.ts";
import { createBootTokens } from "./boot/boot-token.ts";
import { DiscoveredMachines } from "./boot/discovered.ts";
import { noteOsUp } from "./boot/os-up.ts";
import { loadScriptTemplates } from "./boot/script-template.ts";
import { Timeline } from "./boot/timeline.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { Config } from "./config/schema.ts";
import { Consoles } from "./consoles/consoles.ts";
import { DhcpStanding } from "./dhcp/standing.ts";
import { DiskCatalogue } from "./disks/disk-catalogue.ts";
import { createSerialConsoles } from "./drivers/console/create-serial-consoles.ts";
import { createIsolators } from "./drivers/isolation/create-isolator.ts";
import { readHilAccount } from "./drivers/isolation/hil-account.ts";
import { createHilLogin } from "./drivers/isolation/hil-login.ts";
import { createPowerControls } from "./drivers/power/create-power-controls.ts";
import { createIpmiShared } from "./drivers/power/ipmi-commands.ts";
import type { BmcAccount } from "./drivers/power/power-control.ts";
import { ApplianceError } from "./errors.ts";
import { startApi } from "./http/api/start-api.ts";
import { ImageCatalogue } from "./images/image-catalogue.ts";
import { LeaseTable } from "./leases/lease-table.ts";
import { sweepLeases } from "./leases/sweep-leases.ts";
import type { Log } from "./log.ts";
import { createAddressGuard } from "./net/address-guard.ts";
import { createFetchFile } from "./net/fetch-file.ts";
import { takeInheritedSockets } from "./net/inherited-sockets.ts";
import { findNeighbour } from "./net/neighbours.ts";
import { createNotifier } from "./net/notify.ts";
import { exercise, startWatchdog, type WatchdogProbe } from "./net/watchdog.ts";
import { NetworkCatalogue } from "./networks/network-catalogue.ts";
import { cablingOf } from "./nodes/cabling.ts";
import type { FindNode, NodeRecord } from "./nodes/node.ts";
import { NodeRegistry } from "./nodes/node-registry.ts";
import type { Appliance } from "./operations/appliance.ts";
import { auditEnds, auditLostEnds } from "./operations/audit-ends.ts";
import { startChores } from "./operations/chores.ts";
import { DiskTraffic } from "./operations/disk-traffic.ts";
import { LastDrift, watchDrift } from "./operations/drift-watch.ts";
import { createFlattenDeep } from "./operations/flatten-deep.ts";
import { Incoming } from "./operations/incoming.ts";
import { innerAddresses } from "./operations/inner-addresses.ts";
import { OperatorRequests } from "./operations/operator-requests.ts";
import { PoolWatch } from "./operations/pool-watch.ts";
import { createPortalView } from "./operations/portals.ts";
import { Presence } from "./operations/presence.ts";
import { registerProcedures } from "./operations/procedures.ts";
import { purgeDeleted } from "./operations/purge-deleted.ts";
import { Rearming } from "./operations/rearming.ts";
import { RecordMirror } from "./operations/record-mirror.ts";
import { OperationRunner } from "./operations/runner.ts";
import { takeDueSnapshots } from "./operations/scheduled-snapshots.ts";
import { TargetWatch } from "./operations/target-watch.ts";
import { Uploads } from "./operations/uploads.ts";
import { ProjectRegistry } from "./projects/project-registry.ts";
import { serveNetwork } from "./serve-network.ts";
import { createStorageClient } from "./storaged/client.ts";
import { lockDirectory } from "./store/lock.ts";
import { Store, type StoreOptions } from "./store/store.ts";
import { newId } from "./values/id.ts";
import type { Mac } from "./values/mac.ts";

/** What ingotd is made from. */
export type IngotOptions = {
  config: Config;
  /** Where the configuration was read from. */
  configFile: string;
  version: string;
  log: Log;
  /** Variables of systemd's protocols are taken out of it. */
  environment: NodeJS.ProcessEnv;
  store?: StoreOptions;
  /** The machine's own by default. */
  clock?: Clock;
};

export type RunningIngot = {
  appliance: Appliance;
  /** Ends everything in order; what is unfinished goes on at the next start. */
  stop(): Promise<void>;
};

/**
 * Puts the appliance together and starts it: state, boot servers, operations, API. The only place that knows which
 * driver is behind an interface. Rejects with what kept a part from starting; nothing is left running then.
 */
export async function startIngot(options: IngotOptions): Promise<RunningIngot> {
  const stops: (() => Promise<unknown> | unknown)[] = [];
  const stop = async () => {
    for (const one of stops.splice(0).reverse()) {
      try {
        await one();
      } catch (error) {
        options.log.warn({ err: error }, "part did not stop cleanly");
      }
    }
  };
  try {
    return { appliance: await start(options, stops), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(options: IngotOptions, stops: (() => Promise<unknown> | unknown)[]): Promise<Appliance> {
  const { config, log, environment, clock = systemClock } = options;
  const notifier = createNotifier(environment);
  const inherited = takeInheritedSockets(environment);

  stops.push(await lockDirectory(config.stateDirectory));
  const store = await Store.open(config.stateDirectory, log.child({ component: "store" }), options.store);
  stops.push(() => store.close());
  await alignTenures(store, clock);
  const records = keepTenures(store, clock);
  const id = await applianceId(store);
  const storage = createStorageClient(join(config.runtimeDirectory, "storaged.sock"), { as: id });
  stops.push(() => storage.close());

  const nodes = new NodeRegistry({ records, config, clock });
  const findNode: FindNode = (mac) => nodes.findByMac(mac);
  const isNode = (mac: Mac) => findNode(mac) !== undefined;
  const archive = new BootArchive(store, log.child({ component: "boots" }));
  stops.push(() => archive.settled());
  const timeline = new Timeline({ archive, isNode, clock });
  const discovered = new DiscoveredMachines(isNode);
  const leases = new LeaseTable(config.networks, store, nodes, clock);
  stops.push(sweepLeases(leases, clock, log.child({ component: "leases" })));

  const sinks: BootEventSink[] = [timeline.sink, discovered.sink, noteOsUp(findNode, records, log), logBoot(log)];
  const bootEvents: BootEventSink = (event) => {
    for (const sink of sinks) sink(event);
  };
  const standings = new Map(config.networks.map((one) => [one.name, new DhcpStanding(one, clock, log)]));
  const operatorRequests = new OperatorRequests(clock);
  const { isolator, close } = createIsolators(config.isolation, () => cablingOf(nodes));
  stops.push(close);
  const ipmi = createIpmiShared();
  const powerControls = createPowerControls({ confirm: operatorRequests.ask, ipmi });
  const audit = await AuditLog.open({
    directory: join(config.stateDirectory, "audit"),
    clock,
    maxBytes: config.audit.maxBytes,
  });
  stops.push(() => audit.close());
  const projects = new ProjectRegistry({ records, clock });
  const runner = new OperationRunner({
    records,
    clock,
    log: log.child({ component: "operations" }),
    checkProject: (name) => projects.get(name),
    onSettled: auditEnds(audit, log),
  });
  const poolWatch = new PoolWatch({ store: storage.images, space: storage.space, config, clock, log });
  const [images, disks] = [new ImageCatalogue(store), new DiskCatalogue(store)];
  const { catalogue } = storage;
  const accessTokens = new TokenRegistry({ records, clock });
  const users = new UserRegistry({ records, tokens: accessTokens, clock });
  const hilLogin = createHilLogin(() => config.isolation.hil?.url);
  const appliance: Appliance = {
    id,
    config,
    records,
    runner,
    projects,
    tokens: accessTokens,
    users,
    foreignAuthenticators: createForeignAuthenticators({ config, hilLogin, users, projects, clock }),
    nodes,
    images,
    networks: new NetworkCatalogue(store),
    disks,
    leases,
    dhcp: (network) => standings.get(network)?.state,
    bootEvents,
    boots: timeline,
    store: storage.images,
    space: storage.space,
    incoming: new Incoming(config.pool.incoming),
    fetchFile: createFetchFile({
      guard: createAddressGuard({
        allowed: () => config.pool.importFrom,
        refused: () => innerAddresses({ config, nodes }),
      }),
      stallSeconds: () => config.pool.incoming.stallSeconds,
    }),
    catalogue,
    poolLeases: storage.leases,
    exchange: storage.exchange,
    pool: poolWatch,
    mirror: new RecordMirror({ id, images, disks, nodes, catalogue, clock, log }),
    targets: storage.targets,
    drift: new LastDrift(),
    traffic: new DiskTraffic(),
    lookAtPortals: createPortalView(inherited),
    unarmedRequests: new WeakMap(),
    powerOf: (node) => powerControls(bmcAccount(node, config, environment)),
    isolator,
    operatorRequests,
    clock,
    log,
  };

  const targetWatch = new TargetWatch(appliance);
  const rearming = new Rearming(appliance, targetWatch);
  sinks.push(
    (event) => targetWatch.onBootEvent(event),
    (event) => rearming.onBootEvent(event),
  );
  const uploads = new Uploads(appliance);
  registerProcedures(appliance, uploads);

  const templates = loadScriptTemplates();
  const tokens = createBootTokens(await bootTokenKey(store), clock);
  const leased = leaseOwners(store, clock);
  const linked = linkOwners({
    networks: config.networks,
    neighbour: findNeighbour,
    tokens,
    servedAt: (mac) => {
      const boot = timeline.current(mac);
      return boot && find(boot, "script")?.address;
    },
  });
  const answers = createBootAnswers({
    findNode,
    owners: chosenOwners((network) => (standings.get(network)?.givesAddresses ? leased : linked)),
    records,
    config: () => config,
    bootOf: (client, via) => timeline.bootOf(client, via),
    clock,
  });
  const probes: WatchdogProbe[] = [exercise("journal", () => store.exercise())];
  for (const network of config.networks) {
    const standing = standings.get(network.name) as DhcpStanding;
    const parts = {
      ...{ config, network, leases, answers, timeline, templates, isNode, events: bootEvents },
      ...{ standing, tokens, inherited, clock, log },
    };
    const served = await serveNetwork(parts);
    stops.push(() => served.stop());
    probes.push({ ...served.dhcp });
  }
  probes.push(...targetWatch.probes);
  targetWatch.start();
  stops.push(() => targetWatch.stop());
  stops.push(() => rearming.stop());
  poolWatch.start();
  stops.push(() => poolWatch.stop());
  const lostEnds = auditLostEnds(audit, store, log).catch((err) => log.error({ err }, "the audit log can't be read"));
  stops.push(() => lostEnds);
  runner.resume();
  await uploads.start();
  stops.push(() => uploads.stop());
  stops.push(() => runner.stop());
  const presence = new Presence(appliance);
  presence.start();
  stops.push(() => presence.stop());
  const chores = {
    "purge deleted disks": (signal: AbortSignal) => purgeDeleted(appliance, signal),
    "take snapshots": (signal: AbortSignal) => takeDueSnapshots(appliance, signal),
    "flatten deep chains": createFlattenDeep(appliance),
    "forget old tenures": () => forgetTenures(store, clock, appliance.config.audit.tenureDays),
  };
  stops.push(startChores(chores, appliance));
  appliance.mirror.start();
  stops.push(() => appliance.mirror.stop());
  stops.push(watchDrift(appliance));

  const serialConsoles = createSerialConsoles(ipmi);
  const consoles = new Consoles({
    nodes,
    config,
    serialConsoleOf: (node) => serialConsoles(bmcAccount(node, config, environment)),
    clock,
    log,
  });
  consoles.start();
  stops.push(() => consoles.stop());

  const api = await startApi({ appliance, uploads, audit, consoles, boots: timeline, discovered, ...options });
  stops.push(() => api.stop());

  stops.push(startWatchdog({ notifier, environment, clock, log, probes }));
  notifier.ready();
  notifier.status(`serving ${config.networks.map((network) => network.name).join(", ")}`);
  stops.push(() => notifier.stopping());
  log.info({ component: "ingotd", appliance: appliance.id, version: options.version }, "ingotd is ready");
  return appliance;
}

/** The immutable id of this appliance, made at its first start. */
async function applianceId(store: Store): Promise<string> {
  const known = store.collection<{ id: string }>("settings").get("appliance");
  if (known) return known.id;
  const id = newId("app");
  await store.commit([{ collection: "settings", key: "appliance", value: { id } }]);
  return id;
}

/** The key of this appliance's boot tokens, made at its first start. */
async function bootTokenKey(store: Store): Promise<Buffer> {
  const known = store.collection<{ key: string }>("settings").get("bootTokens");
  if (known) return Buffer.from(known.key, "hex");
  const key = randomBytes(32);
  await store.commit([{ collection: "settings", key: "bootTokens", value: { key: key.toString("hex") } }]);
  return key;
}

function bmcAccount(node: NodeRecord, { isolation }: Config, environment: NodeJS.ProcessEnv): BmcAccount {
  if (node.power.driver === "manual") return { driver: "manual", node: node.name };
  if (node.power.driver === "hil") {
    return { driver: "hil", node: node.power.hilNode ?? node.name, hil: readHilAccount(isolation.hil) };
  }
  const { driver, address, port, user, passwordFile, passwordEnvironment } = node.power;
  const password = passwordFile ? readPassword(node, passwordFile) : environment[passwordEnvironment ?? ""];
  if (password === undefined) {
    throw new ApplianceError("INVALID", `node ${node.name}: the BMC password is not in the environment`, {
      details: {
        field: "power.passwordEnvironment",
        value: passwordEnvironment,
        remedy: "set the variable in ingotd's unit, or register the node with a password file",
      },
    });
  }
  return { driver, address, port, user, password };
}

function readPassword(node: NodeRecord, file: string): string {
  try {
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    throw new ApplianceError("INVALID", `node ${node.name}: the BMC password file can't be read`, {
      cause,
      details: {
        field: "power.passwordFile",
        value: file,
        remedy: "let the user that runs ingotd read it (mode 0400)",
      },
    });
  }
}

function logBoot(log: Log): BootEventSink {
  const boots = log.child({ component: "boot" });
  return ({ client: _, ...facts }) => {
    // the DHCP server has its own line for each of these
    if (!facts.stage.startsWith("dhcp-")) boots.info(facts, "boot stage");
  };
}
