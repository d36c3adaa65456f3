import { readdir, readFile, readlink } from "node:fs/promises";
import { type Ipv4, ipv4FromBytes } from "../../values/ipv4.ts";

/** A socket of this network namespace that has an IPv4 port to itself or shares it; `inode` names it. */
export type BoundSocket = { address: Ipv4; port: number; inode: number };

/** TCP_LISTEN and, of UDP, an unconnected socket (TCP_CLOSE), as /proc/net writes them. */
const WAITING = { tcp: "0A", udp: "07" };

/** All sockets that wait on a port, whoever has them (proc_pid_net(5)). */
export async function listBoundSockets(protocol: "udp" | "tcp"): Promise<BoundSocket[]> {
  const lines = (await readFile(`/proc/self/net/${protocol}`, "utf8")).split("\n").slice(1);
  return lines.flatMap((line) => {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    const [address = "", port = ""] = local.split(":");
    if (state !== WAITING[protocol] || address.length !== 8) return [];
    // one number in the machine's order, which is little-endian wherever this runs
    const bytes = Buffer.from(address, "hex").reverse();
    return [{ address: ipv4FromBytes(bytes), port: Number.parseInt(port, 16), inode: Number(inode) }];
  });
}

/** The inodes of the sockets that this process holds. */
export async function listOwnInodes(): Promise<Set<number>> {
  const inodes = new Set<number>();
  for (const fd of await readdir("/proc/self/fd")) {
    // the descriptor of the listing itself is gone by now
    const link = await readlink(`/proc/self/fd/${fd}`).catch(() => "");
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (inode) inodes.add(Number(inode));
  }
  return inodes;
}
