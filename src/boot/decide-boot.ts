import type { BootClient, FirmwareClass } from "./boot-client.ts";
import type { BootDecision } from "./boot-decision.ts";
import type { BootEntry } from "./boot-entry.ts";
import { type BootLoop, chooseLoader, type LoaderMemory } from "./loader-memory.ts";

/** All that a boot decision depends on. */
export type BootSituation = {
  client: BootClient;
  /** The protocol that asks. By HTTP the client is an iPXE that wants its script. */
  via: "dhcp" | "http";
  /** The provisioning network that the request came in on. */
  network: string;
  /** Whether a node has this NIC. */
  known: boolean;
  /** What that node shall boot, if anything. */
  entry?: BootEntry | undefined;
  /** Whether that entry's secret may be handed out now. */
  armed: boolean;
  /** Policy of this network for machines that nobody registered. */
  unknown: "ignore" | "exit" | "hold";
  /** Our iPXE files per firmware class, in the order in which they are tried. */
  loaders: { [firmware in FirmwareClass]?: readonly string[] | undefined };
  /** What the former boots of this NIC taught about them. */
  memory?: LoaderMemory | undefined;
  /** The boot loop that this machine is in, if any. */
  loop?: BootLoop | undefined;
  /** Whether our iPXE was already fetched in this boot session: it is chained once, never again. */
  chained: boolean;
  /** Whether that is but a guess: it was told to fetch it again and again, and a fetch was never seen. */
  unfetched?: boolean;
};

/** Where the machine shall end up, whatever step of the way it is at now. */
type Aim = Extract<BootDecision, { kind: "ignore" | "exit" | "hold" | "refuse" | "sanboot" }>;

/**
 * What this client shall do now: pure, the same for every protocol.
 *
 * Firmware that shall go on to its next boot device is told so (`exit`), not just left without a boot file: EDK2
 * asks four times, for a minute, while offers hold nothing for it. Our iPXE is not sent just to return at once
 * either: not every ROM goes on after that.
 */
export function decideBoot(situation: BootSituation): BootDecision {
  const decision = wayToBoot(situation);
  // the way there is open to a machine that only says who it is; the secret at its end is not
  if (decision.kind !== "sanboot" || situation.armed) return decision;
  return { kind: "refuse", reason: "unarmed", entry: decision.entry };
}

function wayToBoot(situation: BootSituation): BootDecision {
  const { client, via } = situation;
  const aim = breakLoop(chooseAim(situation), situation.loop);
  if (aim.kind === "ignore") return via === "http" ? { kind: "exit" } : aim;
  if (client.stage === "os") return { kind: "none" };
  if (client.stage === "firmware") {
    const isHeldHere = aim.kind === "refuse" && aim.reason === "boot-loop" && situation.loop?.after === "loader";
    return aim.kind === "exit" || isHeldHere ? aim : loaderFor(situation);
  }

  const next = aim.kind === "exit" ? aim : towards(aim, situation);
  if (via === "http" || next.kind === "loader") return next;
  if (client.hasHttp) return { kind: "script" };
  return next.kind === "exit" ? { kind: "none" } : next;
}

function chooseAim({ client, network, known, entry, unknown }: BootSituation): Aim {
  if (!known) return { kind: unknown };
  if (!entry || entry.mac !== client.mac) return { kind: "exit" };
  if (entry.once && entry.bootedAt !== undefined) return { kind: "exit" };
  if (entry.network !== network) return { kind: "refuse", reason: "wrong-network", entry };
  if (entry.mode !== "diskless") return { kind: "refuse", reason: "mode-unsupported", entry };
  return { kind: "sanboot", entry };
}

/**
 * The end of a loop. A node is held where somebody sees why: sent on, it would bring up what its local disk happens to
 * hold, in place of the disk that it was given. A machine that nobody registered has nothing but its local disk.
 */
function breakLoop(aim: Aim, loop: BootLoop | undefined): Aim {
  if (loop && aim.kind === "sanboot") return { kind: "refuse", reason: "boot-loop", entry: aim.entry };
  return loop && aim.kind === "hold" ? { kind: "exit" } : aim;
}

/** The step of an iPXE towards its aim: at the aim, or through our own iPXE where this one will not do. */
function towards(aim: Aim, situation: BootSituation): BootDecision {
  const { client, via, entry } = situation;
  // one that DHCP never heard (we may have started meanwhile) is taken as it is: which loader would be its, nobody knows
  const chained = situation.chained || (via === "http" && client.architecture === undefined);
  const isCapable = client.hasHttp && (client.hasIscsi || aim.kind !== "sanboot");
  const wantsOurs = !isCapable || (entry?.loader === "ours" && aim.kind === "sanboot");
  if (!chained && wantsOurs && !situation.loop) return loaderFor(situation);
  if (isCapable || (aim.kind === "refuse" && aim.reason === "boot-loop")) return aim;
  if (situation.unfetched) return { kind: "refuse", reason: "boot-loop", ...(entry ? { entry } : {}) };
  return { kind: "refuse", reason: client.hasHttp ? "ipxe-lacks-iscsi" : "ipxe-lacks-http" };
}

function loaderFor({ client, loaders, memory }: BootSituation): BootDecision {
  const choice = client.firmware && chooseLoader(loaders[client.firmware] ?? [], memory);
  if (!choice) return { kind: "refuse", reason: "no-loader" };
  return { kind: "loader", ...choice, protocol: client.firmware?.startsWith("uefi-http") ? "http" : "tftp" };
}
