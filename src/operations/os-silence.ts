/** A living initiator answers the target daemon's pings, one every five seconds: after two that were lost it is gone. */
export const SILENCE_MS = 12_000;
/**
 * An initiator whose connection broke tries again every few seconds, a try that meets a host without an answer may last
 * 15 s: after this long, who is not back is not coming.
 */
const RETURN_MS = 30_000;

/** What is known of a node's OS, in milliseconds since the epoch. */
export type OsEvidence = {
  /** First boot request of those that go on now. */
  askedAt: number;
  /** Its initiator was last heard, or could last have been heard. */
  heardAt: number;
  /** Its portals are open since; undefined while they are not. */
  openSince: number | undefined;
};

/** `gone`: its OS is down. `lives`: somebody else asks. `unsure`: it takes until then to know; undefined, that can't be told. */
export type OsVerdict = { kind: "gone" } | { kind: "lives" } | { kind: "unsure"; until: number | undefined };

/** Whether the OS of a node that asks to boot is down. Only silence where it would have been heard says so. */
export function judgeOs({ askedAt, heardAt, openSince }: OsEvidence, now: number): OsVerdict {
  const silentSince = heardAt + SILENCE_MS;
  if (heardAt > askedAt && now < silentSince) return { kind: "lives" };
  if (openSince === undefined) return { kind: "unsure", until: undefined };
  const until = Math.max(silentSince, openSince + RETURN_MS);
  return now < until ? { kind: "unsure", until } : { kind: "gone" };
}
