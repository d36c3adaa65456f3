import type { NetworkConfig } from "../config/schema.ts";
import type { TargetState } from "../drivers/targets/target-server.ts";
import { ApplianceError, isApplianceError } from "../errors.ts";
import { parseTargetIqn, targetIqn } from "../values/iqn.ts";
import type { Appliance } from "./appliance.ts";
import type { Step } from "./operation.ts";
import { SILENCE_MS } from "./os-silence.ts";

const LOOK_EVERY_MS = 1000;
/** How long a machine that was just switched off may still be heard. */
const PATIENCE_MS = 2 * SILENCE_MS;

/** A target of this machine that serves a disk under another name than its own. */
export type FormerTarget = { network: NetworkConfig; state: TargetState };

/**
 * The targets that serve a disk and that this appliance did not make: those of an appliance whose state is lost. Their
 * nodes run on. A daemon that does not run serves nothing; of one that does not answer nobody knows: fails as
 * `TargetServer`.
 */
export async function formerTargets(
  appliance: Pick<Appliance, "config" | "store" | "targets">,
  { disk, iqn }: { disk: string; iqn: string },
  signal: AbortSignal,
): Promise<FormerTarget[]> {
  const { path } = await appliance.store.backing(disk);
  const all = await allTargets(appliance, signal);
  const isFormer = (name: string) => parseTargetIqn(name)?.appliance !== parseTargetIqn(iqn)?.appliance;
  return all.filter(({ state }) => isFormer(state.iqn) && state.units.some((unit) => unit.path === path));
}

/** The step that comes before a disk is changed behind its node's back: fails as `refuseServedByFormer`. */
export function seeUnserved(appliance: Appliance): Step<{ disk: string }> {
  return {
    name: "see-unserved",
    deadlineSeconds: 30,
    run: async ({ plan, signal }) => {
      const disk = appliance.disks.find(plan.disk);
      if (disk) await refuseServedByFormer(appliance, disk, signal);
    },
  };
}

/** IN_USE when such a target serves the disk: what changes the disk would go unnoticed by the machine that runs on it. */
export async function refuseServedByFormer(
  appliance: Pick<Appliance, "id" | "config" | "store" | "targets">,
  { id, name }: { id: string; name: string },
  signal: AbortSignal,
): Promise<void> {
  const [former] = await formerTargets(appliance, { disk: id, iqn: targetIqn(appliance.id, id) }, signal);
  if (!former) return;
  const { iqn } = former.state;
  throw new ApplianceError("IN_USE", `disk ${name} is served as ${iqn}, which a lost appliance made`, {
    details: {
      field: "disk",
      value: name,
      iqn,
      remedy: "provision its node with it; or switch that off, then ingot reconcile --repair former-target",
    },
  });
}

async function allTargets(
  appliance: Pick<Appliance, "config" | "targets">,
  signal: AbortSignal,
): Promise<FormerTarget[]> {
  const found: FormerTarget[] = [];
  for (const network of appliance.config.networks) {
    const states = await appliance.targets.list(network.tgtd.control, signal).catch((error) => {
      if (isApplianceError(error, "UNAVAILABLE") && error.details.absent) return [];
      throw error;
    });
    found.push(...states.map((state) => ({ network, state })));
  }
  return found;
}

/**
 * Takes those targets away once nobody is behind them any more. IN_USE when a machine is still heard on one: it runs on
 * that disk, and is not the one that was switched off.
 */
export async function releaseFormerTargets(
  appliance: Pick<Appliance, "config" | "store" | "targets" | "lookAtPortals" | "clock" | "log">,
  attachment: { disk: string; iqn: string },
  signal: AbortSignal,
): Promise<void> {
  await release(appliance, attachment.disk, () => formerTargets(appliance, attachment, signal), signal);
}

/** The same of one target, by its name: it may serve a disk that this appliance does not know. */
export async function releaseFormerTarget(
  appliance: Pick<Appliance, "config" | "targets" | "lookAtPortals" | "clock" | "log">,
  iqn: string,
  signal: AbortSignal,
): Promise<void> {
  const find = async () => (await allTargets(appliance, signal)).filter(({ state }) => state.iqn === iqn);
  await release(appliance, parseTargetIqn(iqn)?.disk ?? iqn, find, signal);
}

async function release(
  appliance: Pick<Appliance, "targets" | "lookAtPortals" | "clock" | "log">,
  disk: string,
  find: () => Promise<FormerTarget[]>,
  signal: AbortSignal,
): Promise<void> {
  const { clock, targets, log } = appliance;
  const began = clock.now();
  for (let heardAt = began; ; ) {
    const former = await find();
    if (former.length === 0) return;
    const now = clock.now();
    for (const one of former) heardAt = Math.max(heardAt, lastHeard(appliance, one, now));
    if (now - heardAt >= SILENCE_MS) {
      for (const { network, state } of former) {
        await targets.removeTarget(network.tgtd.control, state.iqn, signal);
        log.warn({ network: network.name, disk, iqn: state.iqn }, "target of a lost appliance removed");
      }
      return;
    }
    if (heardAt - began > PATIENCE_MS) throw stillServed(disk, former[0]!);
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}

function lastHeard(
  { lookAtPortals }: Pick<Appliance, "lookAtPortals">,
  { network, state }: FormerTarget,
  now: number,
): number {
  const { open, peers } = lookAtPortals(network);
  // nobody would be heard
  if (open.size === 0) return now;
  const addresses = new Set(state.sessions.flatMap((session) => session.addresses));
  const theirs = peers.filter(({ remote }) => addresses.has(remote));
  return Math.max(0, ...theirs.map(({ silentMs }) => now - silentMs));
}

function stillServed(disk: string, { state }: FormerTarget): ApplianceError {
  const addresses = [...new Set(state.sessions.flatMap((session) => session.addresses))];
  return new ApplianceError("IN_USE", `disk ${disk} is in use by a machine at ${addresses.join(", ")}`, {
    details: {
      field: "disk",
      value: disk,
      iqn: state.iqn,
      addresses,
      remedy: "it is not the node that was switched off: switch that machine off, or provision it instead",
    },
  });
}
