import dgram from "node:dgram";
import { closeSync } from "node:fs";
import { openDatagramDescriptor } from "../net/interface-socket.ts";
import type { Ipv4 } from "../values/ipv4.ts";

/** A UDP socket and its descriptor, which belongs to it. */
export type TransferSocket = { socket: dgram.Socket; fd: number };

/**
 * A UDP socket on a port of its own at `address` (RFC 1350 4: the transfer id), connected to the client: then the
 * kernel drops what strangers send and answers them with ICMP, which cannot disturb the transfer.
 */
export async function openTransferSocket(
  address: Ipv4,
  client: { address: Ipv4; port: number },
): Promise<TransferSocket> {
  const fd = openDatagramDescriptor(address, 0);
  const socket = dgram.createSocket("udp4");
  try {
    socket.bind({ fd, exclusive: true });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  try {
    await new Promise<void>((resolve, reject) => {
      socket.connect(client.port, client.address, (error?: Error) => (error ? reject(error) : resolve()));
    });
  } catch (error) {
    socket.close();
    throw error;
  }
  return { socket, fd };
}
