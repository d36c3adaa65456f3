/**
 * usage: watch-peers.ts INTERFACE ADDRESS...: prints what is seen of these portals, port 3260, at every line that it reads: in
 * its own network namespace, or through the socket `peers-INTERFACE` that it is passed.
 */
import { createInterface } from "node:readline";
import type { NetworkConfig } from "../../../src/config/schema.ts";
import { takeInheritedSockets } from "../../../src/net/inherited-sockets.ts";
import { createPortalView } from "../../../src/operations/portals.ts";

const [name, ...addresses] = process.argv.slice(2);
const portals = addresses.map((address) => ({ address, port: 3260 }));
const look = createPortalView(takeInheritedSockets(process.env));
createInterface({ input: process.stdin }).on("line", () => {
  const { open, ...view } = look({ interface: name, portals } as NetworkConfig);
  console.log(JSON.stringify({ ...view, open: [...open] }));
});
