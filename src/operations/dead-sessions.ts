import type { BootEntry } from "../boot/boot-entry.ts";
import { toApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import { networkOf } from "./attachment.ts";

const SECONDS = 10;

/** Ids of the sessions that the target server has for this entry now; none where it can't be asked: they end with it. */
export async function sessionsOf({ targets, config, log }: Appliance, entry: BootEntry): Promise<string[]> {
  try {
    const { control } = networkOf({ config }, entry.network).tgtd;
    const states = await targets.list(control, AbortSignal.timeout(SECONDS * 1000));
    return states.find(({ iqn }) => iqn === entry.iqn)?.sessions.map(({ id }) => id) ?? [];
  } catch (error) {
    log.warn({ node: entry.nodeName, reason: toApplianceError(error).message }, "sessions of a dead OS not known");
    return [];
  }
}

/** Cuts what is left of an OS that is down: its half-open sessions would stay for an hour. Never rejects. */
export async function cutDeadSessions(
  { targets, config, log }: Appliance,
  entry: BootEntry,
  sessions: string[],
): Promise<void> {
  if (sessions.length === 0) return;
  try {
    const { control } = networkOf({ config }, entry.network).tgtd;
    await targets.cutSessions(control, entry.iqn, sessions, AbortSignal.timeout(SECONDS * 1000));
  } catch (error) {
    log.warn({ node: entry.nodeName, reason: toApplianceError(error).message }, "sessions of a dead OS not cut");
  }
}
