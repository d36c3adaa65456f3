import type { BootEntry } from "../boot/boot-entry.ts";
import type { BootEvent, BootStage } from "../boot/boot-event.ts";
import type { NetworkConfig } from "../config/schema.ts";
import type { TargetSession, TargetSpec, TargetState } from "../drivers/targets/target-server.ts";
import { toApplianceError } from "../errors.ts";
import { CountedWork, type WatchdogProbe } from "../net/watchdog.ts";
import type { Collection } from "../store/records.ts";
import type { Iqn } from "../values/iqn.ts";
import type { Mac } from "../values/mac.ts";
import type { Appliance } from "./appliance.ts";
import { type DataDisk, dataDisksByNode, dataDisksOf, portalsOf, targetSpec } from "./attachment.ts";
import { targetFaults } from "./target-faults.ts";

const IDLE_MS = 1000;
/** tgtd sends no events: while a node boots, its sessions are asked for this often. */
const BOOTING_MS = 250;
/** A boot that logged in by now will not be told apart any more. */
const GIVE_UP_MS = 15 * 60 * 1000;
/** Well below the watchdog's patience: a daemon that hangs is no reason to restart this process. */
const LOOK_SECONDS = 10;

/**
 * An OS logs in once the firmware's side has read at least its kernel. On a BIOS, iPXE logs in anew within a fraction of a
 * second after a sector or two, when it boots the disk that it has attached.
 */
const LEAST_KERNEL_BYTES = 1024 * 1024;

/** A boot under way: iPXE logs in first, the OS after it. */
type Boot = {
  since: number;
  /** A former run of this process saw it begin: the session seen first here may be the OS's. */
  isResumed: boolean;
  /** The OS has logged in; one that phones home is watched on, since its traffic is counted at each look. */
  osSeen: boolean;
  /** Sessions that are older than this boot: half-open ones of the boot before. */
  older: Set<string>;
  /** iPXE's sessions, and the bytes that each has read. */
  firmware: Map<string, number>;
};

/** What the last look at a network's daemon ran into: nothing, itself, or single targets that it can't serve. */
type Trouble = "none" | "daemon" | "targets";

/** An entry whose target can't be made, and why. */
type Failed = { entry: BootEntry; reason: string };

/**
 * Keeps each network's target daemon as the boot entries say, whatever happened to the daemon, and tells the timeline
 * of logins. One request per daemon and look, whatever the number of targets; no daemon waits for another one's.
 */
export class TargetWatch {
  readonly #appliance: Appliance;
  readonly #entries: Collection<BootEntry>;
  readonly #boots = new Map<Mac, Boot>();
  /** Per network and target, as the last look saw them. */
  readonly #sessions = new Map<string, Map<string, TargetSession[]>>();
  readonly #openSince = new Map<string, number>();
  readonly #troubles = new Map<string, { trouble: Trouble; reason: string }>();
  readonly #looks: { network: NetworkConfig; work: CountedWork }[];
  readonly #specs = new WeakMap<BootEntry, { disks: DataDisk[]; spec: TargetSpec }>();
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  constructor(appliance: Appliance) {
    this.#appliance = appliance;
    this.#entries = appliance.records.collection("bootEntries");
    this.#looks = appliance.config.networks.map((network) => ({
      network,
      work: new CountedWork(`targets ${network.name}`),
    }));
  }

  /** The loops, one per network, for a watchdog. */
  get probes(): WatchdogProbe[] {
    return this.#looks.map(({ work }) => work);
  }

  start(): void {
    for (const entry of this.#entries.values()) {
      const boot = this.#appliance.boots.current(entry.mac);
      if (boot && !boot.stages.some(({ stage }) => stage === "iscsi-login-os" || stage === "ready")) {
        this.#boots.set(entry.mac, { ...newBoot(boot.startedAt), isResumed: true });
      }
    }
    this.#running = Promise.all(this.#looks.map(({ network, work }) => this.#loop(network, work)));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** The sessions of a boot entry's target, as the last look saw them. */
  sessionsOf({ network, iqn }: BootEntry): readonly TargetSession[] {
    return this.#sessions.get(network)?.get(iqn) ?? [];
  }

  /**
   * Since when a boot entry's node can reach its target without a break that was seen, in milliseconds since the epoch;
   * undefined while it can't.
   */
  openSince({ network, iqn }: BootEntry): number | undefined {
    return this.#sessions.get(network)?.has(iqn) ? this.#openSince.get(network) : undefined;
  }

  /** Feed with all boot events: a script that was handed out begins a watch. */
  onBootEvent(event: BootEvent): void {
    if (event.stage === "ready") this.#boots.delete(event.mac);
    if (event.stage !== "script" || event.decision !== "sanboot") return;
    const entry = this.#entries.get(this.#appliance.nodes.findByMac(event.mac)?.id ?? "");
    if (!entry) return;
    const older = this.sessionsOf(entry).map(({ id }) => id);
    this.#boots.set(event.mac, newBoot(event.at, older));
    this.#wake.abort();
    this.#wake = new AbortController();
  }

  async #loop(network: NetworkConfig, work: CountedWork): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await work.track(this.#look(network));
      await this.#appliance.clock
        .sleep(this.#boots.size > 0 ? BOOTING_MS : IDLE_MS, AbortSignal.any([this.#wake.signal, this.#stop.signal]))
        .catch(() => {});
    }
  }

  async #look(network: NetworkConfig): Promise<void> {
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(LOOK_SECONDS * 1000)]);
    try {
      const states = await this.#appliance.targets.list(network.tgtd.control, signal);
      this.#appliance.traffic.record(states);
      const byIqn = new Map(states.map((state) => [state.iqn, state]));
      this.#sessions.set(network.name, new Map(states.map(({ iqn, sessions }) => [iqn, sessions])));
      this.#followBoots(network, byIqn);
      const failed = await this.#mend(network, byIqn, signal);
      // nodes log in again as soon as a portal answers: every target that can be there must be there before
      const served = this.#servedOn(network, failed);
      await this.#appliance.targets.ensurePortals(network.tgtd.control, portalsOf(network), served, signal);
      if (!this.#openSince.has(network.name)) this.#openSince.set(network.name, this.#appliance.clock.now());
      const reasons = failed.map(({ entry, reason }) => `${entry.nodeName}: ${reason}`);
      this.#report(network.name, failed.length > 0 ? "targets" : "none", reasons.join("; "));
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#openSince.delete(network.name);
      this.#report(network.name, "daemon", toApplianceError(error).message);
    }
  }

  /** Logs what has changed since the last look. */
  #report(network: string, trouble: Trouble, reason: string): void {
    const before = this.#troubles.get(network) ?? { trouble: "none", reason: "" };
    this.#troubles.set(network, { trouble, reason });
    if (before.trouble === trouble && before.reason === reason) return;
    const { log } = this.#appliance;
    if (trouble === "daemon") log.error({ network, reason }, "target daemon unreachable");
    else if (trouble === "targets") log.error({ network, reason }, "targets can't be made");
    else log.info({ network }, "target daemon back, all targets served");
  }

  /**
   * Missing or drifted targets are made again from the boot entries; those that no entry knows go. Answers what can't
   * be made: one lost disk must not cost the other nodes theirs. Throws when a later look may succeed.
   */
  async #mend(network: NetworkConfig, byIqn: Map<string, TargetState>, signal: AbortSignal): Promise<Failed[]> {
    const { control } = network.tgtd;
    const failed: Failed[] = [];
    const dataDisks = dataDisksByNode(this.#appliance.records);
    for (const entry of [...this.#entries.values()]) {
      if (entry.network !== network.name) continue;
      if (this.#isParked(entry)) continue;
      try {
        const state = byIqn.get(entry.iqn);
        const before = await this.#spec(entry, dataDisks.get(entry.node) ?? []);
        if (targetFaults(state, before).length === 0) continue;
        const spec = await this.#currentSpec(entry);
        if (targetFaults(state, spec).length === 0) continue;
        // an operation may have taken it away meanwhile
        if (this.#entries.get(entry.node)?.iqn !== entry.iqn) continue;
        await this.#appliance.targets.ensureTarget(control, spec, signal);
        // sessions may have ended with what was there before, or with the whole daemon: nodes are on their way back
        this.#openSince.delete(network.name);
      } catch (error) {
        const { message, retryable } = toApplianceError(error);
        if (retryable || signal.aborted) throw error;
        failed.push({ entry, reason: message });
        continue;
      }
      this.#appliance.log.warn({ network: network.name, node: entry.nodeName, disk: entry.disk }, "target made again");
    }
    const own = `:${this.#appliance.id}:`;
    const wanted = this.#wantedOn(network);
    for (const state of byIqn.values()) {
      if (!state.iqn.includes(own) || wanted.has(state.iqn)) continue;
      const disk = state.iqn.slice(state.iqn.indexOf(own) + own.length);
      // the disk of a running operation may be just before or behind its boot entry
      if (this.#appliance.runner.holder(disk) !== undefined) continue;
      // an entry may have come meanwhile
      if (this.#wantedOn(network).has(state.iqn)) continue;
      await this.#appliance.targets.removeTarget(control, state.iqn, signal);
      this.#appliance.log.warn({ network: network.name, disk }, "target without boot entry removed");
    }
    return failed;
  }

  /** Of an entry with these data disks. Storaged is asked once per entry and change, not at each look. */
  async #spec(entry: BootEntry, disks: DataDisk[]): Promise<TargetSpec> {
    const known = this.#specs.get(entry);
    if (known && isSame(known.disks, disks)) return known.spec;
    const spec = await targetSpec(this.#appliance, entry, disks);
    this.#specs.set(entry, { disks, spec });
    return spec;
  }

  /**
   * As the records are when it resolves: an operation that attaches or detaches a disk changes them first, and the target
   * after that, so it has the last word.
   */
  async #currentSpec(entry: BootEntry): Promise<TargetSpec> {
    for (;;) {
      const disks = dataDisksOf(this.#appliance.records, entry.node);
      const spec = await this.#spec(entry, disks);
      if (isSame(disks, dataDisksOf(this.#appliance.records, entry.node))) return spec;
    }
  }

  /** A node whose disk is being reverted has no target on purpose. */
  #isParked({ node }: BootEntry): boolean {
    const holder = this.#appliance.runner.holder(node);
    return holder !== undefined && this.#appliance.runner.get(holder).kind === "revert";
  }

  /** The targets that must be there before a node meets the daemon. */
  #servedOn(network: NetworkConfig, failed: Failed[]): Iqn[] {
    const lost = new Set(failed.map(({ entry }) => entry.iqn));
    const entries = [...this.#entries.values()].filter((entry) => entry.network === network.name);
    return entries.filter((entry) => !lost.has(entry.iqn) && !this.#isParked(entry)).map(({ iqn }) => iqn);
  }

  /** The targets that this network's boot entries name; a disk that moved has its entry elsewhere. */
  #wantedOn({ name }: NetworkConfig): Set<string> {
    return new Set([...this.#entries.values()].filter(({ network }) => network === name).map(({ iqn }) => iqn));
  }

  #followBoots(network: NetworkConfig, byIqn: Map<string, TargetState>): void {
    const now = this.#appliance.clock.now();
    for (const entry of this.#entries.values()) {
      const boot = this.#boots.get(entry.mac);
      const state = byIqn.get(entry.iqn);
      if (!boot || !state || entry.network !== network.name) continue;
      if (this.#follow(entry, boot, state, now) || now - boot.since > GIVE_UP_MS) this.#boots.delete(entry.mac);
    }
    if (this.#boots.size > this.#entries.size) {
      const macs = new Set([...this.#entries.values()].map((entry) => entry.mac));
      for (const mac of this.#boots.keys()) if (!macs.has(mac)) this.#boots.delete(mac);
    }
  }

  /** Tells the timeline what is new in this boot; true when nothing more is to come. */
  #follow(entry: BootEntry, boot: Boot, state: TargetState, at: number): boolean {
    const emit = (stage: BootStage) =>
      this.#appliance.bootEvents({ mac: entry.mac, stage, at, ...(entry.address ? { address: entry.address } : {}) });
    for (const session of state.sessions) {
      if (boot.older.has(session.id)) continue;
      if (!isFirmware(boot, session)) {
        if (!boot.osSeen) emit("iscsi-login-os");
        boot.osSeen = true;
        continue;
      }
      if (boot.firmware.size === 0) emit("iscsi-login-firmware");
      if (readByFirmware(boot) === 0 && session.readBytes) emit("first-read");
      boot.firmware.set(session.id, session.readBytes ?? LEAST_KERNEL_BYTES);
    }
    return boot.osSeen && !entry.phonesHome;
  }
}

function newBoot(since: number, older: readonly string[] = []): Boot {
  return { since, isResumed: false, osSeen: false, older: new Set(older), firmware: new Map() };
}

/**
 * A session that has written is the OS's, if it was not there from the start of the boot: a boot loader writes too, such
 * as GRUB its environment block.
 */
function isFirmware(boot: Boot, { id, writtenBytes }: TargetSession): boolean {
  if (boot.firmware.has(id)) return !boot.isResumed || !writtenBytes;
  return !boot.osSeen && !writtenBytes && readByFirmware(boot) < LEAST_KERNEL_BYTES;
}

function readByFirmware(boot: Boot): number {
  return [...boot.firmware.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** Records are replaced when they change. */
function isSame(disks: DataDisk[], others: DataDisk[]): boolean {
  return disks.length === others.length && disks.every((disk, at) => disk === others[at]);
}
