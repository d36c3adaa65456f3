/** Ingot's TFTP server and nothing else. usage: serve.ts ADDRESS PORT ROOT MTU; prints "ready". */
import dgram from "node:dgram";
import { once } from "node:events";
import { systemClock } from "../../../src/clock.ts";
import { createLog } from "../../../src/log.ts";
import { startTftpServer } from "../../../src/tftp/server.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";

const [address = "", port = "", root = "", mtu = ""] = process.argv.slice(2);
const socket = dgram.createSocket("udp4");
socket.bind(Number(port), address);
await once(socket, "listening");
await startTftpServer({
  socket,
  address: address as Ipv4,
  mtu: Number(mtu),
  root,
  limits: { maxTransfers: 512, maxTransfersPerClient: 8 },
  onTransfer: () => {},
  log: createLog("error"),
  clock: systemClock,
});
console.log("ready");
