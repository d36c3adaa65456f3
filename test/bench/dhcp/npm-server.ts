/** The npm package `dhcp` as its README sets it up. usage: npm-server.ts ADDRESS FIRST LAST MASK CLIENT */
import { createRequire } from "node:module";

const [address, first, last, mask, client] = process.argv.slice(2);
const { createServer } = createRequire(import.meta.url)("dhcp");
const server = createServer({
  range: [first, last],
  static: {},
  netmask: mask,
  router: [address],
  dns: [address],
  server: address,
  leaseTime: 3600,
  // it answers to this address whatever a request says: with 255.255.255.255, no relay would hear it
  broadcast: client,
});
server.on("error", () => {});
server.on("listening", () => console.log("listening"));
server.listen();
