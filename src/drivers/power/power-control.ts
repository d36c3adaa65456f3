import type { HilAccount } from "../isolation/hil-account.ts";

/** Power and boot device of one machine through its BMC. Every verb is idempotent; one call at a time per BMC. */
export interface PowerControl {
  /**
   * Fails with UNAUTHENTICATED (user or password), UNAVAILABLE (no answer; retryable), TIMEOUT, UNSUPPORTED (the BMC
   * can't), DRIVER_FAILED; so does every verb.
   */
  status(signal: AbortSignal): Promise<"on" | "off">;
  on(signal: AbortSignal): Promise<void>;
  /** Cuts the power. Returns once the command is taken: `status` tells when it is off. */
  off(signal: AbortSignal): Promise<void>;
  /** Asks the OS to shut down (ACPI). A machine that is off stays so. */
  softOff(signal: AbortSignal): Promise<void>;
  /** Restarts a machine that runs. One that is off stays so. */
  reset(signal: AbortSignal): Promise<void>;
  /** Seconds since the machine was last started or restarted, as far as the BMC logged it; undefined where it logged none. */
  sinceRestart(signal: AbortSignal): Promise<number | undefined>;
  /** Where the next boots, all of them, come from. */
  setBootDevice(device: "network" | "disk", firmware: "bios" | "uefi", signal: AbortSignal): Promise<void>;
}

/** How to reach one BMC: plain values, the password already read. */
export type BmcAccount =
  | { driver: "ipmi"; address: string; port: number; user: string; password: string }
  | { driver: "hil"; node: string; hil: HilAccount }
  | { driver: "manual"; node: string };
