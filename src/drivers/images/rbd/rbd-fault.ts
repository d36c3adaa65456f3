import { constants } from "node:os";
import { ApplianceError } from "../../../errors.ts";
import { driverFailed } from "../../failure.ts";
import type { RbdAccess } from "./rbd-pool.ts";

/** Ceph's word for a client that the cluster shut out (EBLOCKLISTED); Node has no name for it. */
const ESHUTDOWN = 108;

/** Why Ceph refused a verb, by its errno. */
export type RbdRefusal = "none" | "exists" | "busy" | "has-children";

const REFUSALS: Record<number, RbdRefusal> = {
  [constants.errno.ENOENT]: "none",
  [constants.errno.EEXIST]: "exists",
  [constants.errno.EBUSY]: "busy",
  [constants.errno.ENOTEMPTY]: "has-children",
};

/** A verb that Ceph carried to the image and refused there; `refusal` is for callers who expected it. */
export class RbdFault extends ApplianceError {
  readonly refusal: RbdRefusal;

  constructor(refusal: RbdRefusal, action: string, image: string, said: string) {
    const busy = refusal === "busy";
    super(busy ? "IN_USE" : "DRIVER_FAILED", `${action}: ${said}`, {
      retryable: busy,
      details: {
        driver: "rbd",
        action,
        field: "image",
        value: image,
        ...(busy
          ? { remedy: "somebody has it open: rbd status names the client; one that died is forgotten after 30 s" }
          : {}),
      },
    });
    this.refusal = refusal;
  }
}

/** The error for what the configuration names and is not there: Ceph says of it what it says of an image that is gone. */
export function notThere(what: "conf" | "pool", { conf, pool }: RbdAccess): ApplianceError {
  const [value, remedy] =
    what === "conf"
      ? [conf, `put Ceph's configuration there, and the keyring that it names`]
      : [pool, `ceph osd pool create ${pool}; rbd pool init ${pool}`];
  return driverFailed("rbd", "connect", `there is no ${what === "conf" ? "file" : "pool"} ${value}`, {
    details: { field: `pool.rbd.${what}`, value, remedy },
  });
}

/** Whether a verb was refused for this reason. */
export function isRefused(error: unknown, refusal: RbdRefusal): boolean {
  return error instanceof RbdFault && error.refusal === refusal;
}

/** The error for what a Ceph call ended with: an errno (positive), and what it said. */
export function cephError(errno: number, action: string, image: string, said: string): ApplianceError {
  const refusal = REFUSALS[errno];
  const details = { driver: "rbd", action };
  switch (errno) {
    case constants.errno.EPERM:
    case constants.errno.EACCES:
      return driverFailed("rbd", action, "Ceph does not authorise it", {
        details: {
          ceph: "not-authorised",
          remedy: "see pool.rbd.user: its keyring, named in pool.rbd.conf, and its caps (ceph auth get client.USER)",
        },
      });
    case constants.errno.ETIMEDOUT:
    case ESHUTDOWN:
      return new ApplianceError("UNAVAILABLE", `${action}: Ceph can't be reached`, {
        details: {
          ...details,
          outage: true,
          ceph: "unreachable",
          remedy: "ceph -s says what is wrong with the cluster",
        },
      });
    case constants.errno.ENOSPC:
    case constants.errno.EDQUOT:
      return new ApplianceError("POOL_FULL", "pool: no space left", {
        details: { ...details, ceph: "full", remedy: "ingot disk rm, or give the cluster more room (ceph df)" },
      });
    default:
      return refusal
        ? new RbdFault(refusal, action, image, said)
        : driverFailed("rbd", action, said, { details: { ...details, errno } });
  }
}
