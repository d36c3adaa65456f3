/**
 * What node:dgram allows at best: each datagram of 4 bytes is answered with one of a block and its header. No file, no timeout, no second
 * client; a TFTP client takes it for a server of one file, whatever it asks for.
 * usage: echo-blocks.ts ADDRESS PORT BYTES BLOCK_BYTES; prints "ready".
 */
import dgram from "node:dgram";

const [address = "", port = "", ...sizes] = process.argv.slice(2);
const [bytes = 0, blockBytes = 0] = sizes.map(Number);
const oack = Buffer.from(`\0\x06blksize\0${blockBytes}\0`);
const last = Math.floor(bytes / blockBytes) + 1;
const packet = Buffer.alloc(4 + blockBytes, "ingot");
packet.writeUInt16BE(3, 0);
let sent = 0;

const socket = dgram.createSocket("udp4");
socket.on("message", (message, from) => {
  if (message.length > 4) {
    sent = 0;
    socket.send(oack, from.port, from.address);
    return;
  }
  if (sent === last) return;
  sent++;
  packet.writeUInt16BE(sent & 0xffff, 2);
  socket.send(sent === last ? packet.subarray(0, 4 + (bytes % blockBytes)) : packet, from.port, from.address);
});
socket.bind(Number(port), address, () => console.log("ready"));
