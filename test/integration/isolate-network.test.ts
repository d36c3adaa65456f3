/**
 * What `isolate-network.sh` makes of an appliance with a network for nodes and one that leads to Ceph, with real packets:
 *
 *   in-node 10.94.1.10 ---- 10.94.1.1 in-appl 10.94.2.1 ---- 10.94.2.10 in-ceph
 *                           10.94.1.2 in-port 10.94.2.2 (macvlans on the same two interfaces)
 */
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Place, whatReaches } from "../lab/reach.ts";
import { ip, Namespaces } from "./namespaces.ts";

const [NODE, APPLIANCE, CEPH, PORTAL] = ["in-node", "in-appl", "in-ceph", "in-port"] as const;
const script = resolve(import.meta.dirname, "../../systemd/isolate-network.sh");
const ISOLATE = ["sh", script, "nodes", "10.94.1.2/24", PORTAL, "ceph0", "10.94.2.2/24"];
const PLACES: Place[] = [
  { name: "appliance", address: "10.94.1.1" },
  { name: "portal", address: "10.94.1.2" },
  { name: "appliance towards Ceph", address: "10.94.2.1" },
  { name: "tgtd towards Ceph", address: "10.94.2.2" },
  { name: "Ceph", address: "10.94.2.10" },
];
let spaces: Namespaces;

beforeAll(() => {
  spaces = new Namespaces(NODE, APPLIANCE, CEPH, PORTAL);
  const end = (namespace: string, name: string, address: string) => ({
    ...{ namespace, interface: name, addresses: [`${address}/24`] },
  });
  spaces.cable(end(APPLIANCE, "nodes", "10.94.1.1"), end(NODE, "eth0", "10.94.1.10"));
  spaces.cable(end(APPLIANCE, "ceph0", "10.94.2.1"), end(CEPH, "eth0", "10.94.2.10"));
  // as where the appliance is a router between other networks too: what is kept apart is so by rules
  ip("-n", CEPH, "route", "add", "10.94.1.0/24", "via", "10.94.2.1");
  for (const one of [APPLIANCE, PORTAL]) spaces.run(one, ["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
});
afterAll(() => spaces?.remove());

/** What the node reaches when it sends everything to that address. */
const reached = (gateway: string) =>
  whatReaches(async (command) => spaces.run(NODE, ["sh", "-c", command]), {
    ...{ interface: "eth0", appliance: gateway, places: PLACES, atATime: 10 },
  });

it("leads nodes to the portal and the appliance alone, and tgtd to Ceph", { timeout: 60_000 }, async () => {
  // all of this the appliance gives to nodes by itself
  expect(await reached("10.94.1.1")).toEqual(["appliance", "appliance towards Ceph", "Ceph"]);
  // twice: once more changes nothing
  for (let time = 0; time < 2; time++) spaces.run(APPLIANCE, ISOLATE);
  expect(await reached("10.94.1.1")).toEqual(["appliance", "portal", "Ceph"]);
  expect(await reached("10.94.1.2")).toEqual(["appliance", "portal"]);
  spaces.run(PORTAL, ["busybox", "ping", "-c", "1", "-W", "5", "10.94.2.10"]);
  const links = (namespace: string) => ip("-n", namespace, "-br", "link").match(/^[\w-]+/gm);
  expect(links(PORTAL)).toEqual(["lo", "portal", "ceph"]);
  expect(links(APPLIANCE)).toEqual(["lo", "nodes", "ceph0"]);
});

it("owes it to its rules that nobody passes through the namespace of tgtd", { timeout: 60_000 }, async () => {
  spaces.run(PORTAL, ["nft", "delete", "table", "inet", "ingot"]);
  expect(await reached("10.94.1.2")).toContain("tgtd towards Ceph");
  spaces.run(APPLIANCE, ISOLATE);
  expect(await reached("10.94.1.2")).toEqual(["appliance", "portal"]);
});

it("says how it is called", () => {
  expect(() => spaces.run(APPLIANCE, ["sh", join(script), "nodes"])).toThrow(/usage: isolate-network.sh INTERFACE/);
});
