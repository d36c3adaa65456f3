import type { Ipv4 } from "../values/ipv4.ts";
import type { Iqn } from "../values/iqn.ts";
import type { Mac } from "../values/mac.ts";

/** One address where a target is served. */
export type Portal = { address: Ipv4; port: number };

/** CHAP credentials of one attachment. Never logged, never shown by the API, only in the node's own script. */
export type Chap = {
  user: string;
  secret: string;
  /** For mutual CHAP: what the target proves itself with. */
  reverse?: { user: string; secret: string };
};

/**
 * What a node shall boot: the only thing that booting and provisioning share.
 * Keyed by node id; present from "boot entry written" until release.
 */
export type BootEntry = {
  node: string;
  nodeName: string;
  project: string;
  /** The NIC that boots. */
  mac: Mac;
  network: string;
  /**
   * The node's address there, pinned as long as this entry lives. Absent where addresses are not ours to give: the
   * disk is then open to the name `initiator`.
   */
  address?: Ipv4;
  disk: string;
  mode: "diskless" | "stream" | "copy";
  /** Boot it a single time, then fall back to the local disk. */
  once: boolean;
  loader: "auto" | "ours";
  iqn: Iqn;
  lun: number;
  portals: Portal[];
  initiator: Iqn;
  chap: Chap;
  phonesHome: boolean;
  /** When its OS was first seen up, in milliseconds since the epoch; with `once` it is not booted again after that. */
  bootedAt?: number;
  /**
   * When its OS was last seen up, which disarmed the entry: from then on a boot request gets no secret until something
   * arms it again. Absent while armed.
   */
  disarmedAt?: number;
  createdAt: number;
};

/** The entry, armed: the next boot request of its node gets the secret. */
export function armed({ disarmedAt: _, ...entry }: BootEntry): BootEntry {
  return entry;
}
