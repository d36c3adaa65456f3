import { armed, type BootEntry } from "../boot/boot-entry.ts";
import type { BootEvent } from "../boot/boot-event.ts";
import { type ApplianceError, toApplianceError } from "../errors.ts";
import type { TcpPeer } from "../net/tcp-peers.ts";
import type { Collection } from "../store/records.ts";
import type { Appliance } from "./appliance.ts";
import { BmcWord } from "./bmc-word.ts";
import { cutDeadSessions } from "./dead-sessions.ts";
import { judgeOs } from "./os-silence.ts";
import type { PortalView } from "./portals.ts";
import type { TargetWatch } from "./target-watch.ts";
import type { UnarmedRequest } from "./unarmed-request.ts";

const LOOK_EVERY_MS = 1000;
/** Firmware and our script ask again every few seconds; who has not for so long is no longer there. */
const PATIENCE_MS = 60_000;

/** Requests in one node's name that are being judged. */
type Trial = UnarmedRequest & { heardAt?: number; isReported: boolean };

/** What `TargetWatch` knows of a network's daemon. */
export type SeenTargets = Pick<TargetWatch, "sessionsOf" | "openSince">;

/**
 * Arms boot entries again whose OS is down: under `rearm` by its silence, under `strict` by its BMC's word. Fed by the
 * boot requests themselves, and off their path: a request is refused at once, and asks again. Works only while somebody
 * asks; one look at the kernel's connections serves all who do.
 *
 * tgtd's word for a session is not enough: it lists that of a dead node for an hour. Nor is a missing session: those of
 * all nodes are gone for a moment when tgtd starts anew.
 */
export class Rearming {
  readonly #appliance: Appliance;
  readonly #entries: Collection<BootEntry>;
  readonly #seen: SeenTargets;
  readonly #bmcs: BmcWord;
  readonly #trials = new Map<string, Trial>();
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #trouble: string | undefined;

  constructor(appliance: Appliance, seen: SeenTargets) {
    this.#appliance = appliance;
    this.#entries = appliance.records.collection("bootEntries");
    this.#seen = seen;
    this.#bmcs = new BmcWord(appliance, this.#stop.signal);
  }

  /** Feed with all boot events. */
  onBootEvent({ mac, stage, reason, at }: BootEvent): void {
    const isRequest =
      stage === "dhcp-firmware" || stage === "dhcp-ipxe" || (stage === "refused" && reason === "unarmed");
    if (!isRequest || this.#appliance.config.arming === "open" || this.#stop.signal.aborted) return;
    const entry = this.#entries.get(this.#appliance.nodes.findByMac(mac)?.id ?? "");
    if (entry?.disarmedAt === undefined || entry.mac !== mac) return;
    const trial = this.#trials.get(entry.node) ?? newTrial(at);
    trial.lastAt = at;
    trial.times += 1;
    this.#trials.set(entry.node, trial);
    this.#appliance.unarmedRequests.set(entry, trial);
    this.#running ??= this.#run();
  }

  /** Ends, after the look that is under way. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock } = this.#appliance;
    // requests come from inside the boot path: not in their turn
    await clock.sleep(0);
    while (this.#trials.size > 0 && !this.#stop.signal.aborted) {
      await this.#look(clock.now()).then(
        () => this.#reportTrouble(undefined),
        (error) => this.#reportTrouble(toApplianceError(error)),
      );
      await clock.sleep(LOOK_EVERY_MS, this.#stop.signal).catch(() => {});
    }
    this.#running = undefined;
  }

  async #look(now: number): Promise<void> {
    const waiting: [BootEntry, Trial][] = [];
    for (const [node, trial] of this.#trials) {
      const entry = this.#entries.get(node);
      if (entry?.disarmedAt !== undefined && now - trial.lastAt <= PATIENCE_MS) waiting.push([entry, trial]);
      else this.#end(node, trial, entry);
    }
    const { config, lookAtPortals } = this.#appliance;
    const asked = new Set(waiting.map(([{ network }]) => network));
    const views = new Map(
      config.networks.filter(({ name }) => asked.has(name)).map((one) => [one.name, lookAtPortals(one)]),
    );
    await Promise.all(waiting.map(([entry, trial]) => this.#judge(entry, trial, views.get(entry.network), now)));
  }

  /** Why the last look failed, logged once: until that is mended, nobody who waits is armed. */
  #reportTrouble(error: ApplianceError | undefined): void {
    if (error && error.message !== this.#trouble) {
      this.#appliance.log.error({ err: error }, "can't tell which nodes are down");
    }
    this.#trouble = error?.message;
    if (!error) return;
    const remedy = typeof error.details.remedy === "string" ? error.details.remedy : "ingot doctor";
    for (const trial of this.#trials.values()) Object.assign(trial, { finding: error.message, remedy });
  }

  #end(node: string, trial: Trial, entry: BootEntry | undefined): void {
    this.#trials.delete(node);
    if (entry?.disarmedAt !== undefined && !trial.isReported) trial.finding = "it stopped asking before that was known";
  }

  async #judge(entry: BootEntry, trial: Trial, portals: PortalView | undefined, now: number): Promise<void> {
    const heard = lastHeard(portals?.peers ?? [], now);
    const sessions = this.#seen.sessionsOf(entry);
    const addresses = new Set([...(entry.address ? [entry.address] : []), ...sessions.flatMap((one) => one.addresses)]);
    const heardAt = Math.max(...[...addresses].map((one) => heard.get(one) ?? 0), trial.heardAt ?? 0);
    trial.heardAt = heardAt || trial.since;
    // where no portal is seen open, nobody would be heard: there silence says nothing
    const openSince = portals?.open.size ? this.#seen.openSince(entry) : undefined;
    const verdict = judgeOs({ askedAt: trial.since, heardAt: trial.heardAt, openSince }, now);
    if (verdict.kind === "lives") this.#reportLiving(entry, trial);
    else if (this.#appliance.config.arming === "strict") await this.#askBmc(entry, trial, now);
    else if (verdict.kind === "gone") await this.#arm(entry, "its OS is silent");
    else Object.assign(trial, waitFor(verdict.until, now));
  }

  #reportLiving(entry: BootEntry, trial: Trial): void {
    const { node: id, nodeName: node, mac } = entry;
    trial.finding = "its OS runs, and somebody else asks in its name";
    trial.remedy = `find the other machine that uses ${mac}: the switch tells its port. If it is the node, whose session lives on: ingot node power ${node} reset`;
    if (trial.isReported) return;
    trial.isReported = true;
    this.#appliance.log.warn({ node, mac, network: entry.network, id }, "somebody asks in the name of a running node");
    this.#appliance.bootEvents({ mac, stage: "refused", reason: "os-still-up", at: this.#appliance.clock.now() });
  }

  async #askBmc(entry: BootEntry, trial: Trial, now: number): Promise<void> {
    const word = this.#bmcs.ask(entry, now);
    Object.assign(trial, word);
    if (word.isRestarted) await this.#arm(entry, "its BMC tells of a restart");
  }

  /** What is left of the former sessions is cut, not waited for. */
  async #arm(entry: BootEntry, reason: string): Promise<void> {
    const { log, records } = this.#appliance;
    // once it is armed, the next boot's own session may come
    const sessions = this.#seen.sessionsOf(entry).map(({ id }) => id);
    await records.commit([{ collection: "bootEntries", key: entry.node, value: armed(entry) }]);
    log.info({ node: entry.nodeName, mac: entry.mac, reason, cut: sessions.length }, "boot entry armed again");
    cutDeadSessions(this.#appliance, entry, sessions);
  }
}

function newTrial(at: number): Trial {
  return { since: at, lastAt: at, times: 0, finding: "it asked a moment ago", remedy: "wait", isReported: false };
}

/** When each peer was last heard. */
function lastHeard(peers: TcpPeer[], now: number): Map<string, number> {
  const heard = new Map<string, number>();
  for (const { remote, silentMs } of peers) heard.set(remote, Math.max(heard.get(remote) ?? 0, now - silentMs));
  return heard;
}

function waitFor(until: number | undefined, now: number): Pick<UnarmedRequest, "finding" | "remedy"> {
  if (until === undefined) {
    return {
      finding: "its target is not served: its OS may be on its way back to it",
      remedy: "ingot doctor",
    };
  }
  const seconds = Math.ceil((until - now) / 1000);
  return { finding: `its OS may still run: ${seconds} s more of silence will tell`, remedy: "wait" };
}
