import type { Ipv4 } from "../values/ipv4.ts";
import type { Mac } from "../values/mac.ts";
import type { BootClient, FirmwareClass } from "./boot-client.ts";
import type { BootDecision } from "./boot-decision.ts";

/** The stages of one boot, in their order. */
export const BOOT_STAGES = [
  "power-on",
  "dhcp-firmware", // OFFER or ACK to the firmware
  "boot-file", // loader fetched
  "dhcp-ipxe",
  "script",
  "iscsi-login-firmware", // iPXE's own session
  "first-read",
  "iscsi-login-os",
  "dhcp-os",
  "ready",
] as const;
export type BootStage = (typeof BOOT_STAGES)[number];

/** One thing seen on the way. Emitted by the servers of the boot path and by operations; never awaited. */
export type BootEvent = {
  mac: Mac;
  /** `power-off`: switched off through us, which ends its boot. */
  stage: BootStage | "refused" | "power-off";
  at: number;
  /** Provisioning network where it was seen. */
  network?: string;
  /** Who asked; DHCP gives it with each answer. */
  client?: BootClient;
  /** What was answered, for DHCP stages and `script`. */
  decision?: BootDecision["kind"];
  /** The machine's; for `refused` with `other-dhcp-server`, that server's. */
  address?: Ipv4;
  /** For DHCP stages: the machine took the address, or has one; an offer alone it may never have heard. */
  acknowledged?: true;
  firmware?: FirmwareClass;
  /** Loader or script name. */
  file?: string;
  /** Why this loader, where it is not the first that is configured. */
  why?: string;
  bytes?: number;
  seconds?: number;
  retransmissions?: number;
  /** Why, for `refused`. */
  reason?: string;
  /** What the OS told of itself, for `ready`. */
  facts?: Record<string, string>;
};

/** Takes events. Must return at once and never throw. */
export type BootEventSink = (event: BootEvent) => void;
