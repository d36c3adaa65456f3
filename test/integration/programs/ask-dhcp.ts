/**
 * Sends datagrams from an interface and prints each datagram that comes back as `reply <from> <hex>`. argv[2] is JSON:
 * `interface`, `from` (port), `to` (address), `port`, `packets` (hex).
 */
import { openInterfaceSocket } from "../../../src/net/interface-socket.ts";
import { ANY_IPV4 } from "../../../src/values/ipv4.ts";

const { from, to, port, packets, ...rest } = JSON.parse(process.argv[2]!) as {
  interface: string;
  from: number;
  to: string;
  port: number;
  packets: string[];
};
const socket = await openInterfaceSocket({ interface: rest.interface, address: ANY_IPV4, port: from, broadcast: true });
socket.on("message", (bytes, source) => console.log(`reply ${source.address} ${bytes.toString("hex")}`));
for (const packet of packets) socket.send(Buffer.from(packet, "hex"), port, to);
console.log("sent");
