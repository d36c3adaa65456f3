import { type Clock, systemClock } from "../../clock.ts";
import { ApplianceError } from "../../errors.ts";
import type { Iqn } from "../../values/iqn.ts";
import { abortedError } from "../failure.ts";
import { Turns } from "../turns.ts";
import type { TargetServer, TargetState } from "./target-server.ts";
import { createTgtClient, type TgtClient, type TgtProcess } from "./tgt-client.ts";
import { type BeforeOpening, type Daemon, showTargets } from "./tgt-daemon.ts";
import { disksOf, ensureTarget, isWriteThrough } from "./tgt-ensure.ts";
import { cutSessions, removeTarget } from "./tgt-remove.ts";
import { parsePortals, parseTraffic, type ShownTarget, type UnitTraffic } from "./tgt-text.ts";

/** What the server may be given; each has a default. */
export type TgtServerOptions = { client?: TgtClient; clock?: Clock; beforeOpening?: BeforeOpening };

/**
 * The target server on tgt. A daemon is adopted as it stands; it must be the appliance's own, since accounts
 * that no target uses are deleted. Changes to one daemon happen one after the other, reads at any time.
 * An acknowledged write is on disk: it outlives tgtd and a crash of the appliance's machine.
 */
export function createTgtServer({
  client = createTgtClient(),
  clock = systemClock,
  beforeOpening = async () => {},
}: TgtServerOptions = {}): TargetServer {
  const turns = new Turns();
  const daemon = (control: number, signal: AbortSignal, process?: TgtProcess): Daemon => ({
    signal,
    clock,
    beforeOpening,
    ask: (request) => client(control, request, signal, process),
  });
  const change = (control: number, signal: AbortSignal, run: (daemon: Daemon) => Promise<void>) =>
    turns
      // what was seen of one process is not true of the next
      .take(String(control), () => run(daemon(control, signal, {})), signal)
      .catch((error) => {
        throw signal.aborted ? abortedError(signal, "tgt", "change targets") : error;
      });
  return {
    ensureTarget: (control, target, signal) => change(control, signal, (daemon) => ensureTarget(daemon, target)),
    removeTarget: (control, iqn, signal) => change(control, signal, (daemon) => removeTarget(daemon, iqn)),
    cutSessions: (control, iqn, sessions, signal) =>
      change(control, signal, async (daemon) => {
        const target = (await showTargets(daemon)).find((one) => one.iqn === iqn);
        if (target) await cutSessions(daemon, target.tid, ({ id }) => sessions.includes(String(id)));
      }),
    list: (control, signal) => listTargets(daemon(control, signal)),
    ensurePortals: (control, portals, served, signal) => {
      const wanted = portals.map(({ address, port }) => `${address}:${port}`);
      return change(control, signal, (daemon) => ensurePortals(daemon, wanted, served));
    },
  };
}

/** Two requests, however many targets there are. */
async function listTargets(daemon: Daemon): Promise<TargetState[]> {
  const [targets, statistics] = await Promise.all([
    showTargets(daemon),
    daemon.ask({ mode: "system", operation: "stat" }),
  ]);
  const traffic = parseTraffic(statistics);
  return targets.map((target) => targetState(target, traffic));
}

function targetState(target: ShownTarget, traffic: UnitTraffic[]): TargetState {
  const disks = disksOf(target);
  return {
    iqn: target.iqn,
    units: disks.map(({ lun, path, readOnly }) => ({ lun, path, readOnly })),
    writeThrough: disks.every(isWriteThrough),
    openTo: target.allowed,
    accounts: [...target.incoming, ...target.outgoing],
    sessions: target.sessions.map((session) => {
      const rows = traffic.filter((row) => row.tid === target.tid && row.session === session.id && row.lun !== 0);
      return {
        id: String(session.id),
        initiator: session.initiator,
        addresses: session.connections.map((connection) => connection.address),
        readBytes: rows.reduce((sum, row) => sum + row.readBytes, 0),
        writtenBytes: rows.reduce((sum, row) => sum + row.writtenBytes, 0),
      };
    }),
  };
}

/** UNAVAILABLE for a daemon without one of these targets: it was started anew since they were made. */
async function refuseHalfFilled(daemon: Daemon, targets: readonly Iqn[]): Promise<void> {
  const there = new Set((await showTargets(daemon)).map(({ iqn }) => iqn));
  const lacking = targets.find((iqn) => !there.has(iqn));
  if (lacking === undefined) return;
  throw new ApplianceError("UNAVAILABLE", `open portals: the target daemon does not serve ${lacking} yet`, {
    details: { driver: "tgt", action: "open portals", iqn: lacking, remedy: "its targets are made again first" },
  });
}

/** The loopback portal stays: tgtd was started on it, and ends up without any listener otherwise. */
async function ensurePortals(daemon: Daemon, wanted: string[], targets: readonly Iqn[]): Promise<void> {
  const served = parsePortals(await daemon.ask({ mode: "portal", operation: "show" }));
  const missing = wanted.filter((one) => !served.includes(one));
  if (missing.length > 0) await refuseHalfFilled(daemon, targets);
  for (const portal of missing) {
    await daemon.ask({ mode: "portal", operation: "new", parameters: { portal } });
  }
  for (const portal of served.filter((one) => !wanted.includes(one) && !one.startsWith("127."))) {
    await daemon.ask({ mode: "portal", operation: "delete", parameters: { portal } });
  }
}
