import dgram from "node:dgram";
import type { Ipv4 } from "../values/ipv4.ts";

/**
 * A UDP socket on a port of its own at `address` (RFC 1350 4: the transfer id),
 * connected to `client` if one is given: then the kernel drops what strangers
 * send and answers them with ICMP, which cannot disturb the transfer.
 */
export async function openTransferSocket(
  address: Ipv4,
  client?: { address: Ipv4; port: number },
): Promise<dgram.Socket> {
  const socket = dgram.createSocket("udp4");
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ address, port: 0, exclusive: true }, () => {
        if (!client) return resolve();
        socket.connect(client.port, client.address, (error?: Error) => (error ? reject(error) : resolve()));
      });
    });
  } catch (error) {
    socket.close();
    throw error;
  }
  socket.removeAllListeners("error");
  return socket;
}
