import type { BootEntry } from "./boot-entry.ts";

/** Why a machine gets a screen instead of a disk; each has its own text in ipxe-scripts/. */
export type RefusalReason =
  | "no-loader" // no loader configured for its firmware class
  | "ipxe-lacks-http" // even our own iPXE can't fetch a script
  | "ipxe-lacks-iscsi" // even our own iPXE can't attach a disk
  | "wrong-network" // it asks on a network that its boot NIC is not on
  | "mode-unsupported" // the boot entry's deploy mode is not one that this version serves
  | "boot-loop" // it came back from our loader or our script again and again, and never reached its disk
  | "unarmed"; // its OS was seen up, and nothing says yet that it is down again

/** The answer to one boot request. */
export type BootDecision =
  /** Say nothing about booting (DHCP: an address only). */
  | { kind: "none" }
  /** Say nothing at all, not even an address. */
  | { kind: "ignore" }
  /**
   * Fetch this loader: by TFTP, or by HTTP for UEFI HTTP boot. `file` is relative to the assets; `why` it is not the
   * first that is configured.
   */
  | { kind: "loader"; file: string; protocol: "tftp" | "http"; why?: string }
  /** iPXE: fetch the script at /boot/<mac>. */
  | { kind: "script" }
  /** Script: attach this disk and boot it. */
  | { kind: "sanboot"; entry: BootEntry }
  /**
   * On to the next boot device. By DHCP: a PXE menu whose only item is local boot, without a prompt, or for UEFI
   * HTTP boot a URI that answers 404; both end the attempt in a second.
   */
  | { kind: "exit" }
  /** Show that nothing is assigned yet; ask again for ever. */
  | { kind: "hold" }
  /** Show why not, and what an operator should do; ask again for ever. By DHCP: a PXE menu that waits for a key, or an address only. */
  | { kind: "refuse"; reason: RefusalReason; entry?: BootEntry };
