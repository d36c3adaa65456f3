/**
 * Listens by TCP on each `interface=address:port` given; prints "ready" or "error <code>", then a line for each
 * connection.
 */
import { createServer } from "node:net";
import { ApplianceError } from "../../../src/errors.ts";
import { openInterfaceListener } from "../../../src/net/interface-socket.ts";
import { parseIpv4 } from "../../../src/values/ipv4.ts";

try {
  for (const wish of process.argv.slice(2)) {
    const [, name = "", address = "", port] = /^(.*)=(.*):(\d+)$/.exec(wish) ?? [];
    const fd = openInterfaceListener({ interface: name, address: parseIpv4(address), port: Number(port) });
    const server = createServer((socket) => {
      console.log(`${name} ${socket.remoteAddress}`);
      socket.end(`heard on ${name}\n`);
    });
    await new Promise<void>((resolve) => server.listen({ fd }, resolve));
  }
  console.log("ready");
} catch (error) {
  console.log(`error ${error instanceof ApplianceError ? error.code : error}`);
}
