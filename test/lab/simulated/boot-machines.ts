/**
 * Boots machines all at once, and reads their disks to the end. Ends with a line of JSON: a `BootedMachine` each.
 * usage: node boot-machines.ts BOOTTASK-AS-JSON, at the nodes' end of a rack
 */
import { createHash } from "node:crypto";
import { openInterfaceSocket } from "../../../src/net/interface-socket.ts";
import { ANY_IPV4 } from "../../../src/values/ipv4.ts";
import { parseMac } from "../../../src/values/mac.ts";
import { DhcpExchange } from "./dhcp-exchange.ts";
import { bootSimulated, type Way } from "./node.ts";

export type BootTask = { server: string; interface: string; diskBytes: number; machines: { mac: string; way: Way }[] };
export type BootedMachine = { mac: string; way: Way; seconds?: number; sha256?: string; failure?: string };

const BLOCKS = 256;
const task = JSON.parse(process.argv[2] as string) as BootTask;
const socket = await openInterfaceSocket({ interface: task.interface, address: ANY_IPV4, port: 68, broadcast: true });
const dhcp = new DhcpExchange(socket);

async function boot(mac: string, way: Way): Promise<BootedMachine> {
  try {
    const { session, seconds } = await bootSimulated(dhcp, task.server, parseMac(mac), way);
    const hash = createHash("sha256");
    for (let block = 0; block < task.diskBytes / 512; block += BLOCKS) hash.update(await session.read(block, BLOCKS));
    session.cut();
    return { mac, way, seconds, sha256: hash.digest("hex") };
  } catch (error) {
    return { mac, way, failure: String(error) };
  }
}

const booted = await Promise.all(task.machines.map(({ mac, way }) => boot(mac, way)));
socket.close();
console.log(JSON.stringify(booted));
process.exit(0);
