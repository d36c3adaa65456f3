import { parseTargetIqn } from "../../../values/iqn.ts";
import type { BeforeOpening } from "../../targets/tgt-daemon.ts";
import { checkOwner, readDescription } from "../description.ts";
import { META } from "./rbd-names.ts";
import type { RbdAccess, RbdPool } from "./rbd-pool.ts";

/**
 * Before a tgtd opens a disk: asks the cluster, which must not keep tgtd waiting, and shuts out the tgtd that had the disk
 * before. That one is dead or cut off; Ceph would find out after 30 s, and have the new one wait for it. CONFLICT for a
 * disk of another appliance, whose tgtd it would be.
 */
export function shutOutFormer(pool: RbdPool, access: RbdAccess): BeforeOpening {
  return async ({ path }, iqn, signal) => {
    const disk = path.slice(access.pool.length + 1);
    const appliance = parseTargetIqn(iqn)?.appliance;
    const found = await pool.inspect(disk, [META.record], signal);
    const owner = readDescription(found?.metadata[META.record], disk)?.appliance;
    if (appliance !== undefined) checkOwner({ kind: "disk", id: disk }, owner, appliance);
    // each asking opens the image: the common case asks once
    if (found?.isHeld === false) return;
    await pool.breakLock(disk, signal);
  };
}
