import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";

/** A time during which a node booted a disk for a project. */
export type NodeTenure = {
  kind: "node";
  node: string;
  nodeName: string;
  project: string;
  disk: string;
  mac: Mac;
  network: string;
  /** Absent where another DHCP server gives addresses. */
  address?: Ipv4;
  /** Who asked for it, and the operation that did it. */
  requestedBy?: string;
  operation?: string;
  /** Milliseconds since the epoch. */
  since: number;
  /** Absent while it lasts. */
  until?: number;
};

/** A time during which a project had a disk, of one size and on one node, or on none. */
export type DiskTenure = {
  kind: "disk";
  disk: string;
  diskName: string;
  project: string;
  node?: string;
  sizeBytes: number;
  since: number;
  until?: number;
};

/** Collection "tenures": those that last are keyed by `open:KIND:ID`, those that are over by `ID@since`. */
export type Tenure = NodeTenure | DiskTenure;
export const TENURES = "tenures";

/** The key of the tenure of this thing that lasts. */
export function openKey(kind: Tenure["kind"], id: string): string {
  return `open:${kind}:${id}`;
}

/** Milliseconds of a tenure between two moments. */
export function overlap({ since, until }: Tenure, from: number, to: number, now: number): number {
  return Math.max(0, Math.min(until ?? now, to) - Math.max(since, from));
}
