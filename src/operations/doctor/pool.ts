import { isApplianceError } from "../../errors.ts";
import type { Check, Finding } from "./finding.ts";

const REFLINK_FILESYSTEMS = ["xfs", "btrfs"];
const GIB = 1024 ** 3;

/** Whether ingot-storaged answers, and whether its pool can clone and has room. */
export const poolCheck: Check = {
  name: "pool",
  run: async ({ appliance: { store, config } }, signal) => {
    const { directory } = config.pool;
    const reached: Finding = { check: "storaged", subject: "ingot-storaged", state: "ok", message: "answers" };
    try {
      const { filesystem, totalBytes, freeBytes } = await store.usage(signal);
      return [reached, lookAtFilesystem(directory, filesystem), lookAtRoom(directory, freeBytes, totalBytes)];
    } catch (error) {
      if (isApplianceError(error, "UNAVAILABLE") || isApplianceError(error, "TIMEOUT")) {
        const remedy = "systemctl status ingot-storaged, then journalctl -u ingot-storaged";
        return [{ ...reached, state: "failed", message: error.message, remedy }];
      }
      const message = error instanceof Error ? error.message : String(error);
      const remedy = `see whether the pool is mounted: findmnt ${directory}`;
      return [reached, { check: "pool", subject: directory, state: "failed", message, remedy }];
    }
  },
};

function lookAtFilesystem(subject: string, filesystem: string): Finding {
  if (REFLINK_FILESYSTEMS.includes(filesystem)) {
    return { check: "pool", subject, state: "ok", message: `${filesystem}, which clones by reflink` };
  }
  return {
    check: "pool",
    subject,
    state: "failed",
    message: `${filesystem} can't clone by reflink`,
    remedy: "keep the pool on XFS or btrfs; systemd/install.sh SIZE makes a pool file where there is neither",
  };
}

function lookAtRoom(subject: string, freeBytes: number, totalBytes: number): Finding {
  const message = `${toGib(freeBytes)} of ${toGib(totalBytes)} GiB free`;
  const remedy = "remove disks and images that nobody needs, or make the pool larger";
  if (freeBytes < totalBytes / 50) return { check: "pool", subject, state: "failed", message, remedy };
  if (freeBytes < totalBytes / 10) return { check: "pool", subject, state: "warning", message, remedy };
  return { check: "pool", subject, state: "ok", message };
}

function toGib(bytes: number): string {
  return (bytes / GIB).toFixed(1);
}
