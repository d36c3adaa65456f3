import { newId } from "../values/id.ts";
import type { Mac } from "../values/mac.ts";
import type { BootClient } from "./boot-client.ts";
import { BOOT_STAGES, type BootEvent, type BootStage } from "./boot-event.ts";
import { type Attempt, type LoaderMemory, learn } from "./loader-memory.ts";

/** One stage of a boot. A stage may be seen many times (OFFER and ACK, retries): first and last time, latest details. */
export type StageSeen = {
  stage: BootStage;
  at: number;
  lastAt: number;
  times: number;
} & Pick<
  BootEvent,
  "address" | "acknowledged" | "file" | "why" | "bytes" | "seconds" | "retransmissions" | "decision" | "facts"
>;

/** Why the machine did not get what it asked for: first and last time, latest details. */
export type RefusalSeen = { reason: string; at: number; lastAt: number; times: number } & Pick<
  BootEvent,
  "address" | "file" | "bytes"
>;

/** One boot of one NIC, from power-on (ours, or the first request seen) until the next one begins. Never changed in place. */
export type BootSession = {
  id: string;
  mac: Mac;
  network?: string;
  /** Who asked last, as its DHCP packets told. */
  client?: BootClient;
  startedAt: number;
  lastAt: number;
  /** In the order of their first time. */
  stages: readonly StageSeen[];
  refusals: readonly RefusalSeen[];
  /** Answers to an iPXE that may have sent it to our loader. */
  chainings: number;
  /** The face of the iPXE that was last sent to our loader. */
  chainedFrom?: string;
  /** What the boots before this one taught about the loaders. */
  taught?: LoaderMemory;
  /** When it was switched off through us: nothing more comes of this boot. */
  switchedOffAt?: number;
};

/** Only who has logged in comes this far. */
const DISK_STAGES = new Set<BootStage>(["iscsi-login-firmware", "first-read", "iscsi-login-os", "ready"]);
const MAX_REFUSALS = 10;
const MINUTE = 60_000;

/** Firmware asks in a steady rhythm while it boots; after this pause it is another boot. */
const SILENCE_MS = MINUTE;
/** Large servers test their memory for a long time between power-on and the first packet. */
const SELF_TEST_MS = 30 * MINUTE;
/** A loader brings the link up anew, and a switch port without portfast blocks it for half a minute or more. */
const LOADER_START_MS = 5 * MINUTE;

/** No machine is through its self-test and in its ROM again sooner; a loader asks within a few seconds of its fetch. */
const RESTART_MS = 15_000;

/** When a chained loader leaves no trace (its fetch was not seen), this many answers that may have chained it end the chaining. */
const MAX_CHAINING_ANSWERS = 8;

/** The session that this event belongs to: `session`, or a new one. */
export function sessionOf(session: BootSession | undefined, event: BootEvent): BootSession {
  return session && !beginsSession(session, event) ? session : newSession(event, session);
}

/** The session after this event: `session` advanced, or a new one. */
export function advance(session: BootSession | undefined, event: BootEvent): BootSession {
  const current = sessionOf(session, event);
  if (event.stage === "power-off") return { ...current, switchedOffAt: event.at };
  const next: BootSession = {
    ...current,
    ...(event.network === undefined ? {} : { network: event.network }),
    ...(event.client === undefined || event.client.stage === "os" ? {} : { client: event.client }),
    lastAt: isStranger(event) ? current.lastAt : Math.max(current.lastAt, event.at),
    chainings: current.chainings + (mayChain(event) ? 1 : 0),
    ...chainedFrom(current, event),
  };
  if (event.stage === "refused") return { ...next, refusals: addRefusal(current.refusals, event) };
  return { ...next, stages: addStage(current.stages, event, event.stage) };
}

/** Whether somebody else asked in the machine's name: that is no sign of life of the machine. */
function isStranger({ stage, reason }: BootEvent): boolean {
  return stage === "refused" && reason === "foreign-address";
}

/** Whether a request of this kind belongs to another boot than `session`. */
export function beginsSession(session: BootSession, event: Pick<BootEvent, "stage" | "at" | "client">): boolean {
  const stage = event.stage === "refused" && event.client ? (`dhcp-${event.client.stage}` as const) : event.stage;
  const isOff = session.switchedOffAt !== undefined;
  if (stage === "power-on") return isOff || session.stages.some((one) => one.stage !== "power-on");
  if (stage !== "dhcp-firmware" && stage !== "dhcp-ipxe") return false;
  if (isOff) return true;
  if (stage === "dhcp-ipxe" && isBackFromLoader(session, event)) return true;
  return hasPassed(session, stage) || event.at - session.lastAt > patience(session);
}

/** Whether our iPXE runs now if an iPXE of this session asks. */
export function isChainedIn(session: BootSession): boolean {
  return find(session, "boot-file") !== undefined || session.chainings >= MAX_CHAINING_ANSWERS;
}

/** The stage as this session saw it. */
export function find(session: BootSession, stage: BootStage): StageSeen | undefined {
  return session.stages.find((one) => one.stage === stage);
}

function mayChain({ stage, decision }: BootEvent): boolean {
  return stage === "dhcp-ipxe" || (stage === "script" && decision === "loader");
}

function chainedFrom({ client }: BootSession, event: BootEvent): Pick<BootSession, "chainedFrom"> {
  const face = (event.client ?? client)?.face;
  return mayChain(event) && event.decision === "loader" && face !== undefined ? { chainedFrom: face } : {};
}

/**
 * Whether the iPXE that fetched our loader asks again in its place. One that can do all that a script needs may be our
 * loader with the same face, unless so much time has passed that the machine must have started anew.
 */
function isBackFromLoader(session: BootSession, { at, client }: Pick<BootEvent, "at" | "client">): boolean {
  const fetched = find(session, "boot-file")?.lastAt;
  if (fetched === undefined || !client || client.face === undefined || client.face !== session.chainedFrom)
    return false;
  if ((find(session, "dhcp-ipxe")?.lastAt ?? 0) > fetched) return false;
  return !(client.hasHttp && client.hasIscsi) || at - fetched > RESTART_MS;
}

function hasPassed(session: BootSession, stage: "dhcp-firmware" | "dhcp-ipxe"): boolean {
  // a boot file may come after iPXE's first request: a ROM's iPXE that chains ours
  const limit = BOOT_STAGES.indexOf(stage === "dhcp-firmware" ? "dhcp-firmware" : "dhcp-ipxe");
  // a script that chains our loader leads back to DHCP, it does not lead on
  return session.stages.some(
    (one) => BOOT_STAGES.indexOf(one.stage) > limit && !(one.stage === "script" && one.decision === "loader"),
  );
}

function patience(session: BootSession): number {
  const newest = session.stages.reduce<StageSeen | undefined>(
    (latest, one) => (latest && latest.lastAt > one.lastAt ? latest : one),
    undefined,
  )?.stage;
  if (newest === "power-on") return SELF_TEST_MS;
  return newest === "boot-file" ? LOADER_START_MS : SILENCE_MS;
}

function newSession(event: BootEvent, before: BootSession | undefined): BootSession {
  return {
    id: newId("boot"),
    mac: event.mac,
    startedAt: event.at,
    lastAt: event.at,
    stages: [],
    refusals: [],
    chainings: 0,
    ...(before ? { taught: learn(before.taught, attemptOf(before, event), event.at) } : {}),
  };
}

/** What came of a session that ends with the event that begins the next one. */
function attemptOf(session: BootSession, { stage, at }: BootEvent): Attempt {
  const { startedAt, lastAt, switchedOffAt } = session;
  const bootFile = find(session, "boot-file");
  const script = find(session, "script");
  const loader = bootFile?.file === undefined ? undefined : { file: bootFile.file, at: bootFile.lastAt };
  const isChaining = script?.decision === "loader";
  // an iPXE whose node is not armed is refused where it asks for its script: its loader led there all the same
  const refusedAt = session.refusals.find(({ reason }) => reason === "unarmed")?.lastAt;
  const askedAt = Math.max(script && !isChaining ? script.lastAt : -1, refusedAt ?? -1);
  const reachedScript = askedAt >= (loader?.at ?? 0);
  return {
    startedAt,
    lastAt,
    loader,
    reachedScript,
    wasSentToBoot: reachedScript ? script?.decision === "sanboot" : loader !== undefined || isChaining,
    reachedDisk: session.stages.some((one) => DISK_STAGES.has(one.stage)),
    cutAt: switchedOffAt ?? (stage === "power-on" ? at : undefined),
  };
}

function addStage(stages: readonly StageSeen[], event: BootEvent, stage: BootStage): StageSeen[] {
  const seen = stages.find((one) => one.stage === stage);
  const { address, acknowledged, file, why, bytes, seconds, retransmissions, decision, facts } = event;
  const details = given({ address, acknowledged, file, why, bytes, seconds, retransmissions, decision, facts });
  const next: StageSeen = {
    ...(seen ?? { stage, at: event.at }),
    ...details,
    lastAt: Math.max(seen?.lastAt ?? 0, event.at),
    times: (seen?.times ?? 0) + 1,
  };
  return seen ? stages.map((one) => (one === seen ? next : one)) : [...stages, next];
}

function addRefusal(refusals: readonly RefusalSeen[], event: BootEvent): readonly RefusalSeen[] {
  const reason = event.reason ?? "unspecified";
  const seen = refusals.find((one) => one.reason === reason);
  if (!seen && refusals.length >= MAX_REFUSALS) return refusals;
  const { address, file, bytes } = event;
  const next = {
    ...seen,
    ...given({ address, file, bytes }),
    ...{ reason, at: seen?.at ?? event.at, lastAt: event.at, times: (seen?.times ?? 0) + 1 },
  };
  return seen ? refusals.map((one) => (one === seen ? next : one)) : [...refusals, next];
}

/** The fields that have a value. */
function given<Fields extends object>(fields: Fields): { [Key in keyof Fields]?: NonNullable<Fields[Key]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Fields;
}
