/** Sends one run of datagrams. usage: send-runs.ts FROM TO PORT BYTES COUNT; the last datagram has 7 bytes. */
import { DatagramRuns } from "../../../src/net/datagram-runs.ts";
import { openTransferSocket } from "../../../src/tftp/transfer-socket.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";

const [from = "", to = "", port = "", bytes = "", count = ""] = process.argv.slice(2);
const { socket, fd } = await openTransferSocket(from as Ipv4, { address: to as Ipv4, port: Number(port) });
const runs = new DatagramRuns(socket, fd, Number(bytes));
runs.send(Buffer.alloc(Number(bytes) * (Number(count) - 1) + 7, 1));
socket.close();
