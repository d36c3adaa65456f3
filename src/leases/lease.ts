import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";

/**
 * One address of one NIC. Keyed by address. Times are milliseconds since the epoch.
 * `bound`: given out until `expiresAt`. `pinned`: fixed by a boot entry, stays until unpinned,
 * renewed or not. `declined`: somebody else was seen using it; quarantined until `expiresAt`.
 */
export type LeaseRecord = {
  address: Ipv4;
  network: string;
  mac: Mac;
  state: "bound" | "pinned" | "declined";
  expiresAt: number;
  /** Host name as told by the client (option 12). */
  hostname?: string;
  /** Client identifier as told by the client (option 61), hex. */
  clientId?: string;
};
