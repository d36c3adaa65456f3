import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { decodeTftp, encodeTftp } from "../../../src/wire/tftp/packet.ts";
import type { Burst } from "./main.ts";
import { isUnderstood, mutate } from "./mutate.ts";
import type { FuzzTask } from "./report.ts";

const CLIENTS = 64;

const options = new Map([
  ["tsize", "0"],
  ["blksize", "1468"],
  ["windowsize", "16"],
  ["timeout", "1"],
]);
const SEEDS = [
  encodeTftp({ type: "read", file: "snponly.efi", mode: "octet", options }),
  encodeTftp({ type: "read", file: "undionly.kpxe", mode: "netascii", options: new Map() }),
  encodeTftp({ type: "write", file: "snponly.efi", mode: "octet", options }),
  encodeTftp({ type: "ack", block: 0 }),
  encodeTftp({ type: "ack", block: 1 }),
  encodeTftp({ type: "data", block: 1, bytes: Buffer.alloc(512) }),
  encodeTftp({ type: "oack", options }),
  encodeTftp({ type: "error", code: 0, message: "stop" }),
];

/** Mutants of every kind of packet, from many addresses; transfers that answer are sent mutants too. */
export async function tftpBurst(task: FuzzTask, random: (limit: number) => number): Promise<Burst> {
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, index) => {
      const socket: Socket = createSocket("udp4");
      const client = { socket, transfer: undefined as number | undefined };
      socket.on("message", (_, from) => {
        client.transfer = from.port;
      });
      // the transfer's own socket is gone: the kernel says so
      socket.on("error", () => {});
      socket.bind(0, `10.77.20.${1 + index}`);
      await once(socket, "listening");
      return client;
    }),
  );
  return async (count) => {
    let pastCodec = 0;
    for (let sent = 0; sent < count; sent++) {
      const bytes = mutate(SEEDS, random);
      if (isUnderstood(decodeTftp, bytes)) pastCodec += 1;
      const client = clients[random(CLIENTS)] as (typeof clients)[number];
      const port = client.transfer !== undefined && random(2) === 0 ? client.transfer : 69;
      await new Promise<void>((resolve) => client.socket.send(bytes, port, task.server, () => resolve()));
    }
    return { sent: count, pastCodec };
  };
}
