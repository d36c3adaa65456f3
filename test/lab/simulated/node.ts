import type { Mac } from "../../../src/values/mac.ts";
import type { Initiator } from "../iscsi/initiator.ts";
import type { DhcpExchange, Firmware } from "./dhcp-exchange.ts";
import { fetchFrom, openDisk, readAttachment } from "./script.ts";
import { fetchTftp } from "./tftp-fetch.ts";

/** How a machine gets to its iPXE: a ROM that is one, UEFI PXE by TFTP, or UEFI HTTP boot. */
export type Way = "rom" | "pxe" | "http";

/** What became of one boot. */
export type SimulatedBoot = { seconds: number; retransmissions: number; session: Initiator };

const FIRMWARE: Record<Way, Firmware | undefined> = { rom: undefined, pxe: "ovmf-pxe", http: "ovmf-http" };
const BLOCKS_PER_READ = 128;
const FIRST_READS = 16;

/**
 * Boots one simulated machine as far as the network is concerned: DHCP and loader of its firmware, DHCP of its iPXE, the
 * script, the iSCSI login with CHAP, and the first MiB of its disk. Rejects with what did not happen.
 */
export async function bootSimulated(dhcp: DhcpExchange, server: string, mac: Mac, way: Way): Promise<SimulatedBoot> {
  const began = performance.now();
  let retransmissions = 0;
  const firmware = FIRMWARE[way];
  if (firmware) {
    const offered = await dhcp.acquire(mac, firmware);
    retransmissions += offered.retransmissions;
    if (way === "http") await fetchFrom(offered.address, offered.bootFile);
    else await fetchTftp(offered.address, server, offered.bootFile);
  }
  const offered = await dhcp.acquire(mac, firmware ? "ipxe-snponly" : "ipxe-rom");
  retransmissions += offered.retransmissions;
  const script = await fetchFrom(offered.address, offered.bootFile);
  const attachment = readAttachment(script);
  if (!attachment) throw new Error(`the script of ${mac} attaches no disk:\n${script}`);
  const session = await openDisk(attachment, offered.address);
  for (let read = 0; read < FIRST_READS; read++) await session.read(read * BLOCKS_PER_READ, BLOCKS_PER_READ);
  return { seconds: (performance.now() - began) / 1000, retransmissions, session };
}
