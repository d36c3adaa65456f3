import type { BootClient } from "../boot/boot-client.ts";
import type { BootDecision } from "../boot/boot-decision.ts";
import { exitUrl, scriptUrl } from "../boot/boot-urls.ts";
import type { NetworkConfig } from "../config/schema.ts";
import { ANY_IPV4, type Ipv4 } from "../values/ipv4.ts";
import { FIRMWARE_QUIRKS } from "../wire/dhcp/firmware-quirks.ts";
import { IPXE_OPTION } from "../wire/dhcp/ipxe-options.ts";
import type { DhcpMessage } from "../wire/dhcp/message.ts";
import { writeOption } from "../wire/dhcp/option.ts";
import { OPTION } from "../wire/dhcp/options.ts";
import { FILE_BYTES } from "../wire/dhcp/protocol.ts";
import { DISCOVERY, PXE_OPTION } from "../wire/dhcp/pxe-options.ts";
import type { Options } from "../wire/dhcp/tlv.ts";

/** The part of a reply that tells what to boot. */
export type BootFields = { siaddr: Ipv4; sname: string; file: string; options: Options };

/** A menu's timeout: none (PXE 2.1, table 2-1, tag 10). */
const WAIT_FOR_KEY = 255;
const NOTHING: BootFields = { siaddr: ANY_IPV4, sname: "", file: "", options: new Map() };

/**
 * What this client is told to boot: a loader for firmware, the script's URL for an iPXE. Any other decision has no form
 * in DHCP: the client gets an address and nothing to boot. `token` goes into the script's URL.
 */
export function bootFields(
  request: DhcpMessage,
  client: BootClient,
  decision: BootDecision,
  network: NetworkConfig,
  token?: string,
): BootFields {
  const site = `http://${network.address}${network.httpPort === 80 ? "" : `:${network.httpPort}`}`;
  if (decision.kind === "script") {
    const fields = bootFile(
      scriptUrl({ server: network.address, httpPort: network.httpPort, mac: client.mac, token }),
      network.address,
    );
    const ipxe: Options = new Map();
    // Our answer is complete: waiting for a ProxyDHCP server would cost each boot its timeout.
    writeOption(ipxe, IPXE_OPTION.noPxeDhcp, true);
    writeOption(fields.options, OPTION.ipxe, ipxe);
    return fields;
  }
  if (decision.kind === "exit" && client.stage === "firmware") return goOn(request, client, network);
  if (decision.kind === "refuse" && decision.reason === "boot-loop") return hold(request, client, decision);
  if (decision.kind !== "loader") return NOTHING;
  const isHttp = decision.protocol === "http";
  const fields = bootFile(isHttp ? `${site}/assets/${encodeURI(decision.file)}` : decision.file, network.address);
  if (client.stage === "firmware") describeBootServer(request, isHttp, fields.options);
  return fields;
}

/**
 * Ends the firmware's attempt at once, so that it goes on to its next boot device: PXE gets a menu whose only item is
 * local boot, without a prompt; UEFI HTTP boot a URI that answers 404.
 */
function goOn(request: DhcpMessage, client: BootClient, network: NetworkConfig): BootFields {
  if (!isHttpBoot(client)) return localBootMenu(request, "Local boot", 0);
  const url = exitUrl({ server: network.address, httpPort: network.httpPort, mac: client.mac });
  const fields = bootFile(url, network.address);
  describeBootServer(request, true, fields.options);
  return fields;
}

/**
 * Holds the firmware where somebody can read why: the same menu, which waits for a key. UEFI HTTP boot has no menu; left
 * without a URI it passes over the offer.
 */
function hold(request: DhcpMessage, client: BootClient, { entry }: BootDecision & { kind: "refuse" }): BootFields {
  if (isHttpBoot(client)) return NOTHING;
  const text = `Ingot: held in a boot loop: ingot node timeline ${entry?.nodeName ?? client.mac}`;
  return localBootMenu(request, text.slice(0, FIRMWARE_QUIRKS.menuLine.columns), WAIT_FOR_KEY);
}

function isHttpBoot({ vendorClass }: BootClient): boolean {
  return vendorClass?.startsWith("HTTPClient") ?? false;
}

/** A menu whose only item is local boot (PXE 2.1: type 0). */
function localBootMenu(request: DhcpMessage, description: string, timeoutSeconds: number): BootFields {
  const fields = { ...NOTHING, options: new Map() };
  describeBootServer(request, false, fields.options);
  const vendor: Options = new Map();
  writeOption(vendor, PXE_OPTION.discoveryControl, DISCOVERY.noBroadcast | DISCOVERY.noMulticast);
  writeOption(vendor, PXE_OPTION.bootMenu, [{ type: 0, description }]);
  writeOption(vendor, PXE_OPTION.bootMenuPrompt, { timeoutSeconds, prompt: description });
  writeOption(fields.options, OPTION.vendorSpecific, vendor);
  return fields;
}

/** The name in both places where clients look for it: the header, and options 66 and 67. */
function bootFile(file: string, server: Ipv4): BootFields {
  const options: Options = new Map();
  writeOption(options, OPTION.tftpServerName, server);
  writeOption(options, OPTION.bootFileName, file);
  return { siaddr: server, sname: server, file: file.length < FILE_BYTES ? file : "", options };
}

/** Without these, PXE and HTTP-boot firmware passes over an offer. */
export function describeBootServer(request: DhcpMessage, isHttp: boolean, options: Options): void {
  writeOption(options, OPTION.vendorClass, isHttp ? "HTTPClient" : "PXEClient");
  const machineId = request.options.get(OPTION.machineId.code);
  if (machineId) options.set(OPTION.machineId.code, machineId);
  if (isHttp) return;
  const vendor: Options = new Map();
  // PXE 2.1 2.2.1: the file is in this offer; a ROM left to itself would go looking for boot servers.
  writeOption(vendor, PXE_OPTION.discoveryControl, FIRMWARE_QUIRKS.fileInOffer.discoveryControl);
  writeOption(options, OPTION.vendorSpecific, vendor);
}
