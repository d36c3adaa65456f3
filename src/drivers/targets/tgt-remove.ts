import { type Iqn, isInitiatorName } from "../../values/iqn.ts";
import { tgtRefused } from "./tgt-client.ts";
import { type Daemon, showTargets } from "./tgt-daemon.ts";
import { parseAccounts, type ShownSession, type ShownTarget } from "./tgt-text.ts";

const RETRY_MS = 10;

/**
 * Takes a target away under its initiators. The target goes last: it is the handle by which a repeated call
 * finds what an interrupted one has left. Already gone is success.
 */
export async function removeTarget(daemon: Daemon, iqn: Iqn): Promise<void> {
  const target = (await showTargets(daemon)).find((one) => one.iqn === iqn);
  if (target) await takeDown(daemon, target);
  await dropUnusedAccounts(daemon);
}

/** Removes that target: no re-login, connections closed, accounts and target deleted. */
export async function takeDown(daemon: Daemon, target: ShownTarget): Promise<void> {
  const { tid } = target;
  for (const rule of target.allowed) await forbid(daemon, tid, rule);
  await dropAccounts(daemon, target);
  // A login that was under way when the rules went can still become a session, and tgtd deletes no target
  // with a session or with a command in flight: close and try until it does.
  for (;;) {
    await cutSessions(daemon, tid, () => true);
    try {
      await daemon.ask({ mode: "target", operation: "delete", tid });
      return;
    } catch (error) {
      if (tgtRefused(error, "no such target")) return;
      if (!tgtRefused(error, "target is active", "logical unit is active")) throw error;
    }
    await pause(daemon);
  }
}

/** Takes a LUN away, and waits until it is gone: with a command in flight tgtd keeps it. Sessions stay. */
export async function removeUnit(daemon: Daemon, tid: number, lun: number): Promise<void> {
  for (;;) {
    try {
      await daemon.ask({ mode: "unit", operation: "delete", tid, lun });
      return;
    } catch (error) {
      if (tgtRefused(error, "no such logical unit")) return;
      if (!tgtRefused(error, "logical unit is active")) throw error;
    }
    await pause(daemon);
  }
}

/** Unbinds an address or an initiator name: whoever has a session keeps it. */
export async function forbid(daemon: Daemon, tid: number, rule: string): Promise<void> {
  await unless("no such access rule", () =>
    daemon.ask({ mode: "target", operation: "unbind", tid, parameters: ruleParameters(rule) }),
  );
}

/** How tgtd takes an access rule: an address or an initiator name. */
export function ruleParameters(rule: string): Record<string, string> {
  return { [isInitiatorName(rule) ? "initiator-name" : "initiator-address"]: rule };
}

/**
 * Deletes the target's accounts. Call it only while no access rule is bound: without accounts there is no CHAP.
 * Last first: tgt 1.0.85 dies of a segmentation fault when it shows a target whose account list has a hole.
 */
export async function dropAccounts(daemon: Daemon, target: ShownTarget): Promise<void> {
  for (const user of [...target.outgoing, ...target.incoming.toReversed()]) {
    await unless("no such account", () => daemon.ask({ mode: "account", operation: "delete", parameters: { user } }));
  }
}

/** Closes the sessions that `unwanted` picks, and waits until they are gone. */
export async function cutSessions(
  daemon: Daemon,
  tid: number,
  unwanted: (session: ShownSession) => boolean,
): Promise<void> {
  for (;;) {
    const target = (await showTargets(daemon)).find((one) => one.tid === tid);
    const sessions = target?.sessions.filter(unwanted) ?? [];
    if (sessions.length === 0) return;
    for (const { id: session, connections } of sessions) {
      for (const { id: connection } of connections) {
        await unless(["no such session", "no such connection"], () =>
          daemon.ask({ mode: "connection", operation: "delete", tid, session, connection }),
        );
      }
    }
    await pause(daemon);
  }
}

/** An attempt that ended between making an account and binding it left one that no target names. */
async function dropUnusedAccounts(daemon: Daemon): Promise<void> {
  const accounts = parseAccounts(await daemon.ask({ mode: "account", operation: "show" }));
  const used = new Set((await showTargets(daemon)).flatMap((target) => [...target.incoming, ...target.outgoing]));
  for (const user of accounts.filter((one) => !used.has(one))) {
    await unless("no such account", () => daemon.ask({ mode: "account", operation: "delete", parameters: { user } }));
  }
}

type Gone = "no such access rule" | "no such account" | "no such session" | "no such connection";

async function unless(gone: Gone | Gone[], action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!tgtRefused(error, ...[gone].flat())) throw error;
  }
}

function pause({ clock, signal }: Daemon): Promise<void> {
  return clock.sleep(RETRY_MS, signal);
}
