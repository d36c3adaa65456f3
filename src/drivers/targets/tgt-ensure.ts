import { createHash } from "node:crypto";
import { ApplianceError, toApplianceError } from "../../errors.ts";
import { type Iqn, isInitiatorName } from "../../values/iqn.ts";
import { driverFailed } from "../failure.ts";
import type { Backing } from "../images/image-store.ts";
import type { TargetSpec, TargetUnit } from "./target-server.ts";
import { tgtRefused } from "./tgt-client.ts";
import { type Daemon, showTargets } from "./tgt-daemon.ts";
import { cutSessions, dropAccounts, forbid, removeUnit, ruleParameters, takeDown } from "./tgt-remove.ts";
import type { ShownSession, ShownTarget, ShownUnit } from "./tgt-text.ts";

/**
 * How tgt opens a backing. Files with O_SYNC: a write is on disk before it is acknowledged, and so is whatever else
 * changes the disk. Turning the write cache off in mode page 8 (SBC-3 6.5.5) would be less: the node could turn it on
 * again, would flush no more, and tgt syncs neither WRITE SAME nor UNMAP then.
 */
const BACKINGS: Record<Backing["type"], { store: string; flags: string }> = {
  file: { store: "rdwr", flags: "sync" },
  rbd: { store: "rbd", flags: "" },
};
/** tgt's own limit for SCSI serial and id. */
const MAX_SERIAL_LENGTH = 36;
/** tgt puts the target id into the LUN's NAA name (SPC-4 7.8.6.6), whose top four bits are the format. */
const MAX_TID = 0x0fff_ffff;

/**
 * Makes the target as `spec` says, and touches nothing that fits. The access rule comes last, so that nobody
 * logs in to a target that has no CHAP account yet. An account is recognised by its name: tgtd tells no secrets.
 */
export async function ensureTarget(daemon: Daemon, spec: TargetSpec): Promise<void> {
  const all = await showTargets(daemon);
  const others = all.filter((one) => one.iqn !== spec.iqn);
  let target = all.find((one) => one.iqn === spec.iqn);
  if (target && hasOtherDisk(target, spec)) {
    // Another disk under a live session would be silent corruption; how a file is open can't be changed.
    await takeDown(daemon, target);
    target = undefined;
  }
  target ??= await newTarget(daemon, spec.iqn, others);
  for (const { lun } of disksOf(target)) {
    if (!spec.units.some((unit) => unit.lun === lun)) await removeUnit(daemon, target.tid, lun);
  }
  const failures: UnitFailure[] = [];
  for (const unit of spec.units) {
    await ensureUnit(daemon, target, unit, others).catch((error) =>
      failures.push({ lun: unit.lun, error: toApplianceError(error) }),
    );
  }
  // a lost data disk must not cost the node its root
  if (failures.length < spec.units.length) await ensureAccess(daemon, target, spec, others);
  if (failures.length > 0) throw unitsFailed(failures);
}

type UnitFailure = { lun: number; error: ApplianceError };

function unitsFailed(failures: UnitFailure[]): ApplianceError {
  const { code, details, retryable, cause } = failures[0]!.error;
  return new ApplianceError(code, failures.map(({ error }) => error.message).join("; "), {
    details: { ...details, luns: failures.map(({ lun }) => lun) },
    retryable,
    cause,
  });
}

/** Its LUNs but for tgt's controller, which is LUN 0. */
export function disksOf({ units }: ShownTarget): ShownUnit[] {
  return units.filter(({ lun }) => lun !== 0);
}

function hasOtherDisk(target: ShownTarget, spec: TargetSpec): boolean {
  return disksOf(target).some((shown) => {
    const unit = spec.units.find(({ lun }) => lun === shown.lun);
    return unit !== undefined && !isSameDisk(shown, unit);
  });
}

function isSameDisk(shown: ShownUnit, { backing }: TargetUnit): boolean {
  return shown.path === backing.path && shown.store === BACKINGS[backing.type].store && isWriteThrough(shown);
}

/** Whether what the unit acknowledges is durable. Ceph's own acknowledgements are. */
export function isWriteThrough({ store, flags }: ShownUnit): boolean {
  return store === BACKINGS.rbd.store || flags.split(":").includes(BACKINGS.file.flags);
}

async function newTarget(daemon: Daemon, iqn: Iqn, others: ShownTarget[]): Promise<ShownTarget> {
  const tid = targetId(iqn, new Set(others.map((one) => one.tid)));
  await daemon.ask({ mode: "target", operation: "new", tid, parameters: { targetname: iqn } });
  return { tid, iqn, sessions: [], units: [], incoming: [], outgoing: [], allowed: [] };
}

/**
 * A target id made of the IQN, the next free one if it is taken. tgt derives the disk's WWN from it: so the node
 * finds the same /dev/disk/by-id names after tgtd came back, and no two disks of different daemons share a WWN,
 * which multipathd would take for two paths to one disk.
 */
export function targetId(iqn: Iqn, taken: ReadonlySet<number>): number {
  let tid = (createHash("sha256").update(iqn).digest().readUInt32BE() % MAX_TID) + 1;
  while (taken.has(tid)) tid = (tid % MAX_TID) + 1;
  return tid;
}

/** IN_USE: two targets for one disk would be two nodes that write to it. */
function checkWrittenOnce({ backing, readOnly }: TargetUnit, others: ShownTarget[]): void {
  if (readOnly) return;
  const other = others.find((one) => disksOf(one).some((unit) => unit.path === backing.path && !unit.readOnly));
  if (!other) return;
  throw new ApplianceError("IN_USE", `${backing.path} is served as ${other.iqn} already`, {
    details: { field: "backing.path", value: backing.path, iqn: other.iqn, remedy: "remove that target first" },
  });
}

async function ensureUnit(
  daemon: Daemon,
  target: ShownTarget,
  wanted: TargetUnit,
  others: ShownTarget[],
): Promise<void> {
  const { tid } = target;
  const { lun, backing, readOnly } = wanted;
  const serial = wanted.disk.slice(-MAX_SERIAL_LENGTH);
  const thin = (backing.unmap ?? false) && !readOnly;
  const fits = (unit: ShownUnit) =>
    unit.serial === serial && unit.scsiId === serial && unit.thin === thin && unit.readOnly === readOnly;
  const unit = target.units.find((one) => one.lun === lun);
  if (unit && fits(unit)) return;
  if (!unit) {
    checkWrittenOnce(wanted, others);
    await daemon.beforeOpening(backing, target.iqn, daemon.signal);
    const { store, flags } = BACKINGS[backing.type];
    const parameters = {
      path: backing.path,
      bstype: store,
      ...(flags === "" ? {} : { bsoflags: flags }),
      ...(backing.options === undefined ? {} : { bsopts: backing.options }),
    };
    await daemon.ask({ mode: "unit", operation: "new", tid, lun, parameters }).catch((cause) => {
      if (!tgtRefused(cause, "invalid request", "no such logical unit")) throw cause;
      throw driverFailed("tgt", "new LUN", `tgtd can't open ${backing.path}`, {
        cause,
        details: { path: backing.path },
      });
    });
  }
  // tgtd takes these with an update only; until it had one, no initiator was told of the LUN
  await daemon.ask({
    mode: "unit",
    operation: "update",
    tid,
    lun,
    parameters: {
      vendor_id: "INGOT",
      product_id: "disk",
      scsi_id: serial,
      scsi_sn: serial,
      // UNMAP becomes a hole in the backing file.
      thin_provisioning: thin ? "1" : "0",
      readonly: readOnly ? "1" : "0",
    },
  });
}

async function ensureAccess(
  daemon: Daemon,
  target: ShownTarget,
  spec: TargetSpec,
  others: ShownTarget[],
): Promise<void> {
  const { tid } = target;
  const { user, secret, reverse } = spec.chap;
  const sameAccounts = same(target.incoming, [user]) && same(target.outgoing, reverse ? [reverse.user] : []);
  // Other accounts mean another attachment: its rules and sessions end with it.
  const strangers = sameAccounts ? target.allowed.filter((rule) => rule !== spec.openTo) : target.allowed;
  for (const rule of strangers) await forbid(daemon, tid, rule);
  if (target.sessions.length > 0) {
    await cutSessions(daemon, tid, (session) => !sameAccounts || !isFrom(session, spec.openTo));
  }
  if (!sameAccounts) {
    await dropAccounts(daemon, target);
    await addAccount(daemon, tid, { user, secret }, "incoming", others);
    if (reverse) await addAccount(daemon, tid, reverse, "outgoing", others);
  }
  if (sameAccounts && target.allowed.includes(spec.openTo)) return;
  await daemon.ask({ mode: "target", operation: "bind", tid, parameters: ruleParameters(spec.openTo) });
}

function isFrom({ initiator, connections }: ShownSession, openTo: TargetSpec["openTo"]): boolean {
  if (isInitiatorName(openTo)) return initiator === openTo;
  return connections.every(({ address }) => address === openTo);
}

async function addAccount(
  daemon: Daemon,
  tid: number,
  { user, secret }: { user: string; secret: string },
  direction: "incoming" | "outgoing",
  others: ShownTarget[],
): Promise<void> {
  const owner = others.find((one) => [...one.incoming, ...one.outgoing].includes(user));
  if (owner) {
    throw new ApplianceError("CONFLICT", `chap: account ${user} belongs to ${owner.iqn}`, {
      details: { field: "chap.user", value: user, remedy: "give each attachment account names of its own" },
    });
  }
  const create = () => daemon.ask({ mode: "account", operation: "new", parameters: { user, password: secret } });
  try {
    await create();
  } catch (error) {
    if (!tgtRefused(error, "account exists")) throw error;
    // Left by an attempt that was interrupted: its secret may be another.
    await daemon.ask({ mode: "account", operation: "delete", parameters: { user } });
    await create();
  }
  await daemon.ask({ mode: "account", operation: "bind", tid, direction, parameters: { user } });
}

function same(left: string[], right: string[]): boolean {
  return left.length === right.length && left.every((one) => right.includes(one));
}
