import { poolPlace } from "../../config/pool-place.ts";
import type { PoolUsage } from "../../drivers/images/image-store.ts";
import { isApplianceError, toApplianceError } from "../../errors.ts";
import { isSparse, type PoolLevel, poolFill } from "../pool-level.ts";
import type { Check, Finding } from "./finding.ts";

const CLONES: Record<string, string> = {
  xfs: "xfs, which clones by reflink",
  btrfs: "btrfs, which clones by reflink",
  ceph: "the cluster answers, and takes this user",
};
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

/** Whether ingot-storaged answers, and whether its pool can clone, has room, and keeps what it accepts. */
export const poolCheck: Check = {
  name: "pool",
  run: async ({ appliance: { store, config } }, signal) => {
    const place = poolPlace(config.pool);
    const reached: Finding = { check: "storaged", subject: "ingot-storaged", state: "ok", message: "answers" };
    try {
      const usage = await store.usage(signal);
      const { level, usedPercent } = poolFill(usage, config.pool.watermarks);
      return [
        reached,
        lookAtFilesystem(place, usage.filesystem),
        lookAtRoom(place, usage, level, usedPercent),
        ...lookAtFile(usage),
      ];
    } catch (error) {
      const { message, details } = toApplianceError(error);
      const isDown = isApplianceError(error, "UNAVAILABLE") || isApplianceError(error, "TIMEOUT");
      if (isDown && details.ceph === undefined) {
        const remedy = "systemctl status ingot-storaged, then journalctl -u ingot-storaged";
        return [{ ...reached, state: "failed", message, remedy }];
      }
      const remedy = details.remedy ?? `see whether the pool is mounted: findmnt ${config.pool.directory}`;
      return [reached, { check: "pool", subject: place, state: "failed", message, remedy }];
    }
  },
};

function lookAtFilesystem(subject: string, filesystem: string): Finding {
  const clones = CLONES[filesystem];
  if (clones) return { check: "pool", subject, state: "ok", message: clones };
  return {
    check: "pool",
    subject,
    state: "failed",
    message: `${filesystem} can't clone by reflink`,
    remedy: "keep the pool on XFS or btrfs; systemd/install.sh SIZE makes a pool file where there is neither",
  };
}

const CONSEQUENCES: Record<Exclude<PoolLevel, "ok">, string> = {
  warn: "",
  closed: ": nothing is cloned, imported or snapshotted",
  critical: ": nothing is cloned, and writes of running nodes are about to fail",
};

function lookAtRoom(subject: string, usage: PoolUsage, level: PoolLevel, usedPercent: number): Finding {
  const free = `${usedPercent} % used, ${toGib(usage.freeBytes)} of ${toGib(usage.totalBytes)} GiB free`;
  if (level === "ok") return { check: "pool", subject, state: "ok", message: free };
  return {
    check: "pool",
    subject,
    state: level === "warn" ? "warning" : "failed",
    message: `${free}${CONSEQUENCES[level]}`,
    remedy: "ingot pool show lists the largest disks and images: remove what nobody needs, or ingot pool grow",
  };
}

/** A file that still needs blocks of its disk can lose what the pool has accepted. */
function lookAtFile(usage: PoolUsage): Finding[] {
  const { file } = usage;
  if (!file) return [];
  const { path: subject, sizeBytes, allocatedBytes } = file;
  if (!isSparse(usage)) return [{ check: "pool", subject, state: "ok", message: "has all of its blocks" }];
  const missing = toGib(sizeBytes - allocatedBytes);
  return [
    {
      check: "pool",
      subject,
      state: "warning",
      message: `sparse: ${missing} GiB have no blocks yet; when its disk is full, writes of running nodes fail or get lost`,
      remedy: `ingot pool grow ${Math.ceil(sizeBytes / MIB)}M gives it its blocks; keep fstrim away from the pool: X-fstrim.notrim in /etc/fstab`,
    },
  ];
}

function toGib(bytes: number): string {
  return (bytes / GIB).toFixed(1);
}
