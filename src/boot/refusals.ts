import type { RefusalReason } from "./boot-decision.ts";
import type { RefusalSeen } from "./boot-session.ts";
import type { BootPlan, StallCause } from "./stall.ts";

/** Reasons that come from the servers themselves, not from a boot decision. */
type ServedReason =
  | "os-still-up"
  | "no-address"
  | "other-dhcp-server"
  | "address-conflict"
  | "foreign-address"
  | "unknown-machine"
  | "boot-file-refused"
  | "boot-file-timeout"
  | "boot-file-aborted"
  | "boot-file-failed";

type Refusal = {
  /** It ends a boot by itself, once it has lasted for so many seconds. Without this it is but a hint. */
  decisiveAfterSeconds?: number;
  tell: (seen: RefusalSeen, plan: BootPlan) => StallCause;
};

const fixed = (cause: string, remedy: string) => (): StallCause => ({ cause, remedy });

const REFUSALS: Record<RefusalReason | ServedReason, Refusal> = {
  "no-address": {
    decisiveAfterSeconds: 0,
    tell: (_, { entry }) => ({
      cause: `no address of network ${entry.network} is left`,
      remedy: "make networks[].pool larger, or leaseSeconds shorter; ingot lease list shows who has them",
    }),
  },
  "no-loader": {
    decisiveAfterSeconds: 0,
    tell: fixed(
      "no loader is configured for its kind of firmware",
      "name one under `loaders` in the configuration; ingot node timeline names the kind",
    ),
  },
  "ipxe-lacks-http": {
    decisiveAfterSeconds: 0,
    tell: fixed("its iPXE has no HTTP", "configure a loader that has: Debian's undionly.kpxe and snponly.efi do"),
  },
  "ipxe-lacks-iscsi": {
    decisiveAfterSeconds: 0,
    tell: fixed("its iPXE has no iSCSI", "configure a loader that has: Debian's undionly.kpxe and snponly.efi do"),
  },
  "wrong-network": {
    decisiveAfterSeconds: 0,
    tell: (_, { entry }) => ({
      cause: `it asks on another network than ${entry.network}, where its boot NIC is registered`,
      remedy: "cable it there, or remove the node and add it with the right --network",
    }),
  },
  "mode-unsupported": {
    decisiveAfterSeconds: 0,
    tell: fixed(
      "its deploy mode is not one that this version serves",
      "release it, and provision it anew: ingot deprovision, ingot provision --disk",
    ),
  },
  "boot-loop": {
    decisiveAfterSeconds: 0,
    tell: fixed(
      "it came back from our loaders or its script again and again, and is held, lest it boot an old local disk",
      "ingot node timeline NODE --all tells after what it came back: a loader (name another one under `loaders`) or its script (look at its console). It is tried again after 15 minutes, or at once by ingot node power NODE reset",
    ),
  },
  unarmed: {
    decisiveAfterSeconds: 60,
    tell: (_, { entry }) => ({
      cause: "its OS was seen up, and nothing says that it is down again",
      remedy: `see that nobody else uses its address, then ingot node power ${entry.nodeName} off, and on`,
    }),
  },
  "os-still-up": {
    decisiveAfterSeconds: 0,
    tell: (_, { entry }) => ({
      cause: "its OS runs, and somebody else asks in its name",
      remedy: `find the other machine that uses ${entry.mac}: the switch tells its port`,
    }),
  },
  "other-dhcp-server": {
    tell: ({ address }, { entry }) => ({
      cause: `it took the offer of another DHCP server${address ? `, ${address}` : ""}`,
      remedy: `stop that server on network ${entry.network}, or let Ingot answer beside it (networks[].dhcp: proxy)`,
    }),
  },
  "address-conflict": {
    tell: ({ address }, { entry }) => ({
      cause: `it found ${address ?? "its address"} used by another machine`,
      remedy: `find that machine (arping -I INTERFACE ${address ?? entry.address ?? "ADDRESS"}) and give it another address`,
    }),
  },
  "foreign-address": {
    tell: ({ address }, { entry }) => ({
      cause: `somebody at ${address ?? "another address"} asked in its name: an address that is not bound to it`,
      remedy: entry.address
        ? `see whether it has an old or a foreign lease: ingot lease list; its own is ${entry.address}`
        : "see whose address that is; if it is the node's, behind a relay, name its subnet under networks[].relayedSubnets",
    }),
  },
  "unknown-machine": {
    tell: fixed("it was not registered when it asked", "let it ask again: ingot node power NODE reset"),
  },
  "boot-file-refused": {
    tell: ({ file }) => ({
      cause: `${file ?? "the loader"} could not be served: it is missing, can't be read, or too many asked at once`,
      remedy: "gather the loaders anew (node boot-assets/gather.ts); ingot doctor looks at each",
    }),
  },
  "boot-file-timeout": { tell: brokenOff("it fell silent") },
  "boot-file-aborted": { tell: brokenOff("it broke off") },
  "boot-file-failed": { tell: brokenOff("reading or sending it failed here") },
};

function brokenOff(how: string): Refusal["tell"] {
  return ({ file, bytes }) => ({
    cause: `${how} after ${bytes ?? 0} bytes of ${file ?? "the loader"}: packets are lost on the way`,
    remedy:
      "look for a firewall between, for a smaller MTU on the switch than on the appliance's interface, and at the cable",
  });
}

/** Seconds after which this refusal ends a boot by itself; undefined for one that is but a hint. */
export function decisiveAfter(reason: string): number | undefined {
  return (REFUSALS as Record<string, Refusal>)[reason]?.decisiveAfterSeconds;
}

/** What a refusal means and what to do about it. */
export function explainRefusal(seen: RefusalSeen, plan: BootPlan): StallCause {
  const known = (REFUSALS as Record<string, Refusal>)[seen.reason];
  return known?.tell(seen, plan) ?? { cause: seen.reason, remedy: "look at its console" };
}
