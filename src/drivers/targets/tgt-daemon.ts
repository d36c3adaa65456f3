import type { Clock } from "../../clock.ts";
import type { Iqn } from "../../values/iqn.ts";
import type { Backing } from "../images/image-store.ts";
import { parseTargets, type ShownTarget } from "./tgt-text.ts";
import type { TgtRequest } from "./tgt-wire.ts";

/** One tgtd during one call: requests to it end with the call's signal. */
export type Daemon = {
  ask: (request: TgtRequest) => Promise<string>;
  beforeOpening: BeforeOpening;
  signal: AbortSignal;
  clock: Clock;
};

/**
 * Makes a backing ready to be opened, and to be written to by one daemon alone. tgtd is one event loop: while it opens
 * what doesn't answer, all of its targets stand still.
 */
export type BeforeOpening = (backing: Backing, iqn: Iqn, signal: AbortSignal) => Promise<void>;

/** All targets with LUNs, accounts, access rules and sessions, in one request. */
export async function showTargets(daemon: Daemon): Promise<ShownTarget[]> {
  return parseTargets(await daemon.ask({ mode: "target", operation: "show" }));
}

/** How often tgtd pings a session. */
const PING_SECONDS = 5;

/**
 * The arguments of `tgtd` for one provisioning network, the same in its systemd unit, the lab and the tests:
 * - `-f`: stay in the foreground, the supervisor owns the process;
 * - `-C`: the control number, machine-wide: it names the management socket and its lock;
 * - `-t 8`: writes and reads of a LUN that are under way at a time: each write waits for the disk, and reads must not wait
 *   for all of them. 10 MB more than 2 would take for 200 LUNs;
 * - `nop_interval=`: each session is pinged (NOP-In, RFC 7143 11.19). An initiator that lives answers, whatever it was told
 *   of pings itself: so a session that nothing is heard of is dead. `nop_count=`: none is closed for silence by tgtd
 *   itself, since iPXE takes pings and answers none;
 * - `portal=`: at start it listens on loopback alone, so that no node meets a daemon without targets. Daemons that
 *   share a network namespace need a port each. The network's own portals are added by `ensurePortals`.
 */
export function tgtdArguments(daemon: { control: number; loopbackPort: number }): string[] {
  const iscsi = `nop_interval=${PING_SECONDS},nop_count=2000000000,portal=127.0.0.1:${daemon.loopbackPort}`;
  return ["-f", "-C", String(daemon.control), "-t", "8", "--iscsi", iscsi];
}
