import { statfs } from "node:fs/promises";
import type { Check, Finding } from "./finding.ts";

const MIB = 1024 ** 2;
/** The journal's reserve and a checkpoint of a large appliance fit in. */
const AMPLE_BYTES = 512 * MIB;
/** With less nothing new can be recorded soon: no lease, no operation. */
const LEAST_BYTES = 64 * MIB;

/** Whether the disk of the state directory has room for what is recorded from now on. */
export const stateDiskCheck: Check = {
  name: "state-disk",
  run: async ({ appliance: { config } }): Promise<Finding[]> => {
    const { stateDirectory } = config;
    const { bavail, bsize } = await statfs(stateDirectory);
    const freeBytes = bavail * bsize;
    const finding = {
      check: "state-disk",
      subject: stateDirectory,
      message: `${Math.floor(freeBytes / MIB)} MiB free`,
    };
    if (freeBytes >= AMPLE_BYTES) return [{ ...finding, state: "ok" }];
    const remedy = `free space on the disk that holds ${stateDirectory}: journalctl --vacuum-size=200M, or move other files away`;
    if (freeBytes >= LEAST_BYTES) return [{ ...finding, state: "warning", remedy }];
    const message = `${finding.message}: new leases and operations are about to be refused`;
    return [{ ...finding, state: "failed", message, remedy }];
  },
};
