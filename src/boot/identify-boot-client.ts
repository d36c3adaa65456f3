import { formatMac } from "../values/mac.ts";
import type { DhcpMessage } from "../wire/dhcp/message.ts";
import type { BootClient, FirmwareClass } from "./boot-client.ts";
import { clientUuid } from "./client-uuid.ts";

const VENDOR_CLASS = 60;
const USER_CLASS = 77;
const ARCHITECTURE = 93;
const CLIENT_UUID = 97;
const IPXE = 175;

/** Sub-options of 175 by which an iPXE says what was built into it. */
const IPXE_ISCSI = 17;
const IPXE_HTTP = 19;

/** Firmware classes by architecture number, for PXE (TFTP) and for UEFI HTTP boot. */
const PXE_CLASSES: Record<number, FirmwareClass> = {
  0: "bios",
  7: "uefi-x64",
  9: "uefi-x64", // "EBC" in the registry, x86-64 in a good part of real firmware
  11: "uefi-arm64",
};
const HTTP_CLASSES: Record<number, FirmwareClass> = { 16: "uefi-http-x64", 19: "uefi-http-arm64" };

/** Who sent this request, by options 60, 77, 93, 97 and 175. Never throws: what can't be read is left out. */
export function identifyBootClient(message: DhcpMessage): BootClient {
  const { options } = message;
  const mac = formatMac(message.chaddr);
  const vendorClass = printable(options.get(VENDOR_CLASS));
  const uuid = clientUuid(options.get(CLIENT_UUID) ?? new Uint8Array());
  const facts = { ...(uuid === undefined ? {} : { uuid }), ...(vendorClass ? { vendorClass } : {}) };

  const features = ipxeFeatures(options.get(IPXE));
  const isIpxe = features !== undefined || saysIpxe(options.get(USER_CLASS));
  const bootsByHttp = vendorClass.startsWith("HTTPClient");
  if (!isIpxe && !bootsByHttp && !vendorClass.startsWith("PXEClient")) return { mac, stage: "os", ...facts };

  const classes = bootsByHttp ? HTTP_CLASSES : PXE_CLASSES;
  const architecture = chooseArchitecture(options.get(ARCHITECTURE), vendorClass, classes);
  const firmware = architecture === undefined ? undefined : classes[architecture];
  return {
    mac,
    stage: isIpxe ? "ipxe" : "firmware",
    ...(firmware === undefined ? {} : { firmware }),
    ...(architecture === undefined ? {} : { architecture }),
    ...(isIpxe ? { hasHttp: features?.has(IPXE_HTTP) ?? false, hasIscsi: features?.has(IPXE_ISCSI) ?? false } : {}),
    ...facts,
  };
}

/**
 * Option 93 is a list (RFC 4578 2.1): the first that we have a class for, else the first.
 * Without it the vendor class tells (`PXEClient:Arch:00007:…`), and a bare `PXEClient` is a BIOS.
 */
function chooseArchitecture(
  option: Uint8Array | undefined,
  vendorClass: string,
  classes: Record<number, FirmwareClass>,
): number | undefined {
  const listed: number[] = [];
  for (let at = 0; option && at + 1 < option.length; at += 2) listed.push((option[at]! << 8) | option[at + 1]!);
  const inVendorClass = /^(?:PXE|HTTP)Client:Arch:(\d{5})/.exec(vendorClass)?.[1];
  if (listed.length === 0 && inVendorClass !== undefined) listed.push(Number(inVendorClass));
  if (listed.length === 0 && vendorClass.startsWith("PXEClient")) listed.push(0);
  return listed.find((one) => classes[one] !== undefined) ?? listed[0];
}

/** iPXE writes its user class as bare text; others write RFC 3004's list of counted strings. */
function saysIpxe(userClass: Uint8Array | undefined): boolean {
  if (!userClass) return false;
  const bytes = Buffer.from(userClass);
  if (bytes.toString("latin1") === "iPXE") return true;
  for (let at = 0; at < bytes.length; at += 1 + bytes[at]!) {
    const end = at + 1 + bytes[at]!;
    if (end > bytes.length) return false;
    if (bytes.toString("latin1", at + 1, end) === "iPXE") return true;
  }
  return false;
}

/** The codes of iPXE's features whose value is not zero; undefined where option 175 is absent or not iPXE's. */
function ipxeFeatures(option: Uint8Array | undefined): Set<number> | undefined {
  if (!option || option.length < 3) return undefined;
  const features = new Set<number>();
  let at = 0;
  while (at < option.length) {
    const code = option[at]!;
    if (code === 0 || code === 255) {
      at += 1;
      continue;
    }
    const length = option[at + 1];
    if (length === undefined || at + 2 + length > option.length) return undefined;
    if (option.subarray(at + 2, at + 2 + length).some((byte) => byte !== 0)) features.add(code);
    at += 2 + length;
  }
  return features;
}

function printable(bytes: Uint8Array | undefined): string {
  if (!bytes) return "";
  return Buffer.from(bytes)
    .toString("latin1")
    .replace(/[^\x20-\x7e]/g, "")
    .slice(0, 64);
}
