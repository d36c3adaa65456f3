import { createSocket } from "node:dgram";
import { decodeTftp, encodeTftp } from "../../../src/wire/tftp/packet.ts";

const WAIT_MS = 1000;
const TRIES = 8;

/** Reads a file as UEFI firmware does: blocks of 1,468 bytes, windows of four (RFC 7440). Answers its length and content's bytes seen. */
export function fetchTftp(localAddress: string, server: string, file: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    let port = 69;
    let blockBytes = 512;
    let windowBlocks = 1;
    let received = 0;
    let block = 0;
    let inWindow = 0;
    let tries = 0;
    let last = encodeTftp({
      type: "read",
      file,
      mode: "octet",
      options: new Map([
        ["tsize", "0"],
        ["blksize", "1468"],
        ["windowsize", "4"],
      ]),
    });
    let timer: NodeJS.Timeout;
    const end = (error?: Error) => {
      socket.removeAllListeners("message");
      clearTimeout(timer);
      // a send is under way until its callback: closed now, the last ACK would never leave
      socket.send(last, port, server, () => socket.close());
      if (error) reject(error);
      else resolve(received);
    };
    const send = () => {
      socket.send(last, port, server);
      clearTimeout(timer);
      timer = setTimeout(() => {
        tries += 1;
        if (tries >= TRIES) end(new Error(`no answer to TFTP of ${file} after block ${block}`));
        else send();
      }, WAIT_MS);
    };
    const acknowledge = () => {
      inWindow = 0;
      last = encodeTftp({ type: "ack", block: block & 0xffff });
      send();
    };
    socket.on("error", end);
    socket.on("message", (bytes, from) => {
      const packet = decodeTftp(bytes);
      port = from.port;
      if (packet.type === "error") return end(new Error(`TFTP of ${file}: ${packet.message}`));
      if (packet.type === "oack") {
        blockBytes = Number(packet.options.get("blksize") ?? blockBytes);
        windowBlocks = Number(packet.options.get("windowsize") ?? windowBlocks);
        return acknowledge();
      }
      if (packet.type !== "data") return;
      if (packet.block !== ((block + 1) & 0xffff)) {
        // a gap: what came last in order is acknowledged once, and the server goes on from there
        if (inWindow > 0) acknowledge();
        return;
      }
      tries = 0;
      block += 1;
      inWindow += 1;
      received += packet.bytes.length;
      const isLast = packet.bytes.length < blockBytes;
      if (isLast) {
        last = encodeTftp({ type: "ack", block: block & 0xffff });
        return end();
      }
      if (inWindow >= windowBlocks) acknowledge();
    });
    socket.bind(0, localAddress, send);
  });
}
