import type { Ipv4 } from "../../values/ipv4.ts";
import { PXE_PORT } from "../../wire/dhcp/protocol.ts";
import type { Check, Finding } from "./finding.ts";
import { type BoundSocket, listBoundSockets, listOwnInodes } from "./sockets.ts";

type Port = { protocol: "udp" | "tcp"; port: number; address: Ipv4; use: string };

/** Whether the ports of the boot path are ours, and ours alone. */
export const portCheck: Check = {
  name: "ports",
  run: async ({ appliance: { config } }) => {
    const own = await listOwnInodes();
    const bound = { udp: await listBoundSockets("udp"), tcp: await listBoundSockets("tcp") };
    const ports = config.networks.flatMap(({ address, httpPort }): Port[] => [
      { protocol: "udp", port: 67, address, use: "DHCP" },
      { protocol: "udp", port: PXE_PORT, address, use: "PXE" },
      { protocol: "udp", port: 69, address, use: "TFTP" },
      { protocol: "tcp", port: httpPort, address, use: "HTTP boot" },
    ]);
    return ports.map((port) => judge(port, bound[port.protocol], own));
  },
};

/** What the sockets of this machine tell about one port: `own` are the inodes of ours. */
export function judge({ protocol, port, address, use }: Port, bound: BoundSocket[], own: ReadonlySet<number>): Finding {
  const there = bound.filter((one) => one.port === port && (one.address === address || one.address === "0.0.0.0"));
  const others = there.filter(({ inode }) => !own.has(inode));
  const about = { check: "ports", subject: `${use} ${address}:${port}/${protocol}` };
  const who = `ss -lnp${protocol[0]} sport = :${port}`;
  if (there.length === others.length) {
    const message = others.length > 0 ? "another program has it, not Ingot" : "nobody listens there, not even Ingot";
    const remedy =
      others.length > 0 ? `${who} names it; stop it, then restart ingot` : "look at the log: journalctl -u ingot";
    return { ...about, state: "failed", message, remedy };
  }
  // sockets bound to different interfaces may share a port: /proc does not tell
  if (others.length > 0) {
    const remedy = `${who} names it; see that it serves other interfaces only`;
    return { ...about, state: "warning", message: "another program listens there too", remedy };
  }
  return { ...about, state: "ok", message: "Ingot listens" };
}
