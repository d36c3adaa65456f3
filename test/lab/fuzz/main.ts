/**
 * Sends mutated packets to one server of a running ingotd, in bursts, and after each burst has an honest node served:
 * so every burst was taken in before the next one leaves. Ends with a line of JSON (`FuzzReport`).
 * usage: node main.ts FUZZTASK-AS-JSON, at the nodes' end of a rack
 */
import { openInterfaceSocket } from "../../../src/net/interface-socket.ts";
import { ANY_IPV4 } from "../../../src/values/ipv4.ts";
import { parseMac } from "../../../src/values/mac.ts";
import { DhcpExchange } from "../simulated/dhcp-exchange.ts";
import { fetchFrom } from "../simulated/script.ts";
import { fetchTftp } from "../simulated/tftp-fetch.ts";
import { dhcpBurst } from "./dhcp.ts";
import { httpBurst } from "./http.ts";
import { seeded } from "./mutate.ts";
import type { FuzzReport, FuzzTask } from "./report.ts";
import { resourcesOf } from "./resources.ts";
import { tftpBurst } from "./tftp.ts";

/** Sends about `count` mutated packets; answers how many it sent and how many of them got past the codec. */
export type Burst = (count: number) => Promise<{ sent: number; pastCodec: number }>;

const BURST = 500;
const task = JSON.parse(process.argv[2] as string) as FuzzTask;
const random = seeded(task.seed);
const socket = await openInterfaceSocket({ interface: task.interface, address: ANY_IPV4, port: 68, broadcast: true });
const dhcp = new DhcpExchange(socket);
const makeBurst = { dhcp: dhcpBurst, tftp: tftpBurst, http: httpBurst }[task.protocol];
const burst: Burst = await makeBurst(task, random, socket);

/** One boot of the next honest node, as far as its script. */
async function honest(): Promise<number> {
  const { name, mac, address } = task.honest[report.honestServed % task.honest.length] as FuzzTask["honest"][number];
  const began = performance.now();
  if (task.protocol === "tftp") {
    await fetchTftp(address, task.server, "snponly.efi");
    return performance.now() - began;
  }
  const offered = await dhcp.acquire(parseMac(mac), "ipxe-rom");
  if (offered.address !== address) throw new Error(`${name} got ${offered.address}`);
  const script = await fetchFrom(address, offered.bootFile);
  if (!script.includes(name) && !script.includes(mac))
    throw new Error(`${name} got a script that is not its own:\n${script}`);
  return performance.now() - began;
}

const report: FuzzReport = { sent: 0, pastCodec: 0, honestServed: 0, honestSlowestMs: 0, resources: [] };
const marks = [0.1, 0.5, 1].map((share) => share * task.count);
// a DHCP server that has not yet looked for others is silent
await honest();
report.resources.push(resourcesOf(task.pid));
while (report.sent < task.count) {
  const { sent, pastCodec } = await burst(Math.min(BURST, task.count - report.sent));
  report.sent += sent;
  report.pastCodec += pastCodec;
  const milliseconds = await honest();
  report.honestServed += 1;
  report.honestSlowestMs = Math.max(report.honestSlowestMs, Math.round(milliseconds));
  while (marks[0] !== undefined && report.sent >= marks[0]) {
    report.resources.push(resourcesOf(task.pid));
    marks.shift();
  }
}
socket.close();
console.log(JSON.stringify(report));
process.exit(0);
