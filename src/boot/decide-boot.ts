import type { BootClient, FirmwareClass } from "./boot-client.ts";
import type { BootDecision } from "./boot-decision.ts";
import type { BootEntry } from "./boot-entry.ts";

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
  /** Policy of this network for machines that nobody registered. */
  unknown: "ignore" | "exit" | "hold";
  /** Our iPXE file per firmware class. */
  loaders: { [firmware in FirmwareClass]?: string | undefined };
  /** Whether our iPXE was already fetched in this boot session: it is chained once, never again. */
  chained: boolean;
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
  const { client, via } = situation;
  const aim = chooseAim(situation);
  if (aim.kind === "ignore") return via === "http" ? { kind: "exit" } : aim;
  if (client.stage === "os") return { kind: "none" };
  if (client.stage === "firmware") return aim.kind === "exit" ? aim : loaderFor(situation);

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

/** The step of an iPXE towards its aim: at the aim, or through our own iPXE where this one will not do. */
function towards(aim: Aim, situation: BootSituation): BootDecision {
  const { client, via, entry } = situation;
  // one that DHCP never heard (we may have started meanwhile) is taken as it is: which loader would be its, nobody knows
  const chained = situation.chained || (via === "http" && client.architecture === undefined);
  const isCapable = client.hasHttp && (client.hasIscsi || aim.kind !== "sanboot");
  if (!chained && (!isCapable || entry?.loader === "ours")) return loaderFor(situation);
  if (isCapable) return aim;
  return { kind: "refuse", reason: client.hasHttp ? "ipxe-lacks-iscsi" : "ipxe-lacks-http" };
}

function loaderFor({ client, loaders }: BootSituation): BootDecision {
  const file = client.firmware && loaders[client.firmware];
  if (!file) return { kind: "refuse", reason: "no-loader" };
  return { kind: "loader", file, protocol: client.firmware?.startsWith("uefi-http") ? "http" : "tftp" };
}
