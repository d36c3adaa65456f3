import { formatMac } from "../values/mac.ts";
import { FIRMWARE_QUIRKS } from "../wire/dhcp/firmware-quirks.ts";
import { IPXE_OPTION } from "../wire/dhcp/ipxe-options.ts";
import type { DhcpMessage } from "../wire/dhcp/message.ts";
import { type Option, tryReadOption } from "../wire/dhcp/option.ts";
import { OPTION } from "../wire/dhcp/options.ts";
import type { BootClient, FirmwareClass } from "./boot-client.ts";
import { clientUuid } from "./client-uuid.ts";

/** Firmware classes by architecture number, for PXE (TFTP) and for UEFI HTTP boot. */
const PXE_CLASSES: Record<number, FirmwareClass> = {
  0: "bios",
  ...Object.fromEntries(FIRMWARE_QUIRKS.architectureNumbers.x64.map((number) => [number, "uefi-x64"])),
  11: "uefi-arm64",
};
const RASPBERRY_PI: readonly string[] = FIRMWARE_QUIRKS.raspberryPi.makers;
const HTTP_CLASSES: Record<number, FirmwareClass> = { 16: "uefi-http-x64", 19: "uefi-http-arm64" };

/** Who sent this request, by options 60, 77, 93, 97 and 175. Never throws: what can't be read is left out. */
export function identifyBootClient(message: DhcpMessage): BootClient {
  const { options } = message;
  const mac = formatMac(message.chaddr);
  const vendorClass = printable(tryReadOption(options, OPTION.vendorClass) ?? "");
  const machineId = tryReadOption(options, OPTION.machineId);
  const uuid = machineId && clientUuid(machineId);
  const facts = { ...(uuid === undefined ? {} : { uuid }), ...(vendorClass ? { vendorClass } : {}) };

  const features = tryReadOption(options, OPTION.ipxe) ?? new Map<number, Uint8Array>();
  const has = (feature: Option<number>) => (tryReadOption(features, feature) ?? 0) !== 0;
  const isIpxe = features.size > 0 || (tryReadOption(options, OPTION.userClass) ?? []).includes("iPXE");
  const bootsByHttp = vendorClass.startsWith("HTTPClient");
  if (!isIpxe && !bootsByHttp && !vendorClass.startsWith("PXEClient")) return { mac, stage: "os", ...facts };

  const classes = bootsByHttp ? HTTP_CLASSES : PXE_CLASSES;
  const architecture = chooseArchitecture(tryReadOption(options, OPTION.clientArchitecture), vendorClass, classes);
  const isPi = architecture === 0 && RASPBERRY_PI.includes(mac.slice(0, 8));
  const firmware = architecture === undefined || isPi ? undefined : classes[architecture];
  return {
    mac,
    stage: isIpxe ? "ipxe" : "firmware",
    ...(firmware === undefined ? {} : { firmware }),
    ...(architecture === undefined ? {} : { architecture }),
    ...(isIpxe ? { hasHttp: has(IPXE_OPTION.http), hasIscsi: has(IPXE_OPTION.iscsi), face: faceOf(message) } : {}),
    ...facts,
  };
}

/**
 * Option 93 is a list (RFC 4578 2.1): the first that we have a class for, else the first.
 * Without it the vendor class tells (`PXEClient:Arch:00007:…`), and a bare `PXEClient` is a BIOS.
 */
function chooseArchitecture(
  option: readonly number[] | undefined,
  vendorClass: string,
  classes: Record<number, FirmwareClass>,
): number | undefined {
  const inVendorClass = /^(?:PXE|HTTP)Client:Arch:(\d{5})/.exec(vendorClass)?.[1];
  const told = inVendorClass === undefined ? [] : [Number(inVendorClass)];
  const listed = option && option.length > 0 ? option : told;
  if (listed.length === 0 && vendorClass.startsWith("PXEClient")) return 0;
  return listed.find((one) => classes[one] !== undefined) ?? listed[0];
}

/** An iPXE that drives its NIC through the firmware's UNDI asks for broadcasts, one with drivers of its own does not. */
function faceOf({ options, broadcast }: DhcpMessage): string {
  const features = Buffer.from(options.get(OPTION.ipxe.code) ?? [])
    .toString("hex")
    .slice(0, 256);
  return `${broadcast ? "broadcast " : ""}${features}`;
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "").slice(0, 64);
}
