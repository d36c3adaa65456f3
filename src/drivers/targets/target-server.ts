import type { Chap, Portal } from "../../boot/boot-entry.ts";
import type { Ipv4 } from "../../values/ipv4.ts";
import type { Iqn } from "../../values/iqn.ts";
import type { Backing } from "../images/image-store.ts";

/**
 * Serves disks over iSCSI. One target per node that boots, each of its disks a LUN (tgt's LUN 0 is its controller).
 * Every verb is idempotent; fails with DRIVER_FAILED, TIMEOUT or UNAVAILABLE (the daemon does not answer;
 * with `details.absent` it does not run, so it serves nothing).
 * `control` chooses the daemon (one per provisioning network).
 */
export interface TargetServer {
  /**
   * Make the target exactly so; what differs is changed, what fits is left alone, sessions included. A write is on disk
   * before it is acknowledged. Other CHAP users mean another attachment: sessions of the former one are closed, as are
   * those of anybody but `openTo`. LUNs come and go under living sessions, which learn of it by a unit attention (SPC-4
   * 5.14: REPORTED LUNS DATA HAS CHANGED); whether their node can spare one is the caller's to know. Another disk at the
   * same LUN is never slipped in: the target is made anew. Secrets can't be read back, so a new secret wants a new user
   * name, and no two targets may share one (CONFLICT). Nor may two write to one disk (IN_USE).
   * One LUN that can't be served keeps no other one back: fails then as the first of them, with `details.luns`.
   */
  ensureTarget(control: number, target: TargetSpec, signal: AbortSignal): Promise<void>;
  /** Gone, live sessions cut: no re-login, connections closed, target deleted, account deleted. */
  removeTarget(control: number, iqn: Iqn, signal: AbortSignal): Promise<void>;
  /**
   * Close these sessions of a target, and wait until they are gone. Those that end by themselves, and a target that is
   * not there, are success; who may log in stays as it is.
   */
  cutSessions(control: number, iqn: Iqn, sessions: string[], signal: AbortSignal): Promise<void>;
  /** What is served now; sessions and byte counters read back, in as few requests for many targets as for one. */
  list(control: number, signal: AbortSignal): Promise<TargetState[]>;
  /**
   * Serve on these portals and on none beside them but the loopback one: called after the targets are there. A node that
   * meets a daemon without its target gives its disk up, so no portal is opened unless all of `served` are there: UNAVAILABLE.
   * DRIVER_FAILED for an address that this machine has not.
   */
  ensurePortals(control: number, portals: Portal[], served: readonly Iqn[], signal: AbortSignal): Promise<void>;
}

export type TargetSpec = {
  iqn: Iqn;
  units: TargetUnit[];
  /** The one initiator that may log in, by its address or by its name. tgt ORs its rules: exactly one kind is bound. */
  openTo: Ipv4 | Iqn;
  chap: Chap;
};

/** A disk of a target. */
export type TargetUnit = {
  lun: number;
  /** Id of the disk: its node reads it as SCSI serial and id. */
  disk: string;
  backing: Backing;
  /** Writes are refused (SPC-4: DATA PROTECT). */
  readOnly: boolean;
};

export type TargetState = {
  iqn: Iqn;
  /** Its disks in the order of their LUNs: what each is backed by, and whether it refuses writes. */
  units: { lun: number; path: string; readOnly: boolean }[];
  /** Whether a write to any of them is on disk before it is acknowledged. */
  writeThrough: boolean;
  /** Addresses and initiator names bound. */
  openTo: string[];
  accounts: string[];
  sessions: TargetSession[];
};

/**
 * One iSCSI session (RFC 7143), in the order of login. iPXE's and the OS's are told apart by that order: each login is
 * a session of its own, with its own id (unique in the daemon while it lives) and counters from zero.
 */
export type TargetSession = {
  id: string;
  initiator: string;
  addresses: string[];
  /** Bytes since login. Undefined where the daemon does not tell. */
  readBytes?: number;
  writtenBytes?: number;
};
