import type { Mac } from "../values/mac.ts";

/** Firmware classes that have a loader of their own; the keys of `loaders` in the configuration. */
export type FirmwareClass = "bios" | "uefi-x64" | "uefi-arm64" | "uefi-http-x64" | "uefi-http-arm64";

/**
 * Who asks, as its packets tell, whatever the protocol.
 * `firmware`: PXE or HTTP-boot ROM. `ipxe`: any iPXE. `os`: a plain DHCP client, not booting.
 */
export type BootClient = {
  mac: Mac;
  stage: "firmware" | "ipxe" | "os";
  /** Undefined for an architecture that we know no class for (`architecture` tells its number), and at stage `os`. */
  firmware?: FirmwareClass;
  /** Processor architecture type (RFC 4578 2.1 and IANA's registry). */
  architecture?: number;
  /** iPXE at stage `ipxe`: whether it can do all that our script needs. */
  hasHttp?: boolean;
  hasIscsi?: boolean;
  /** What this build of iPXE shows of itself: another face is another iPXE, the same face may be another one. */
  face?: string;
  /** SMBIOS UUID in its canonical text form, if it is a believable one. */
  uuid?: string;
  /** Option 60 as text, for people; printable characters only, at most 64. */
  vendorClass?: string;
};
