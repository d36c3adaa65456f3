import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { NodeRecord } from "../../src/nodes/node.ts";
import type { Mac } from "../../src/values/mac.ts";
import { fillState } from "../lab/filled-state.ts";
import { ip, Lines, Namespaces } from "./namespaces.ts";
import { startUdhcpc, writeUdhcpcScript } from "./udhcpc.ts";

/**
 *   ingot-fl-s: bridge prov 10.91.0.1/24 --- nic 52:54:00:91:00:01   ingot-fl-n (udhcpc: a registered node)
 *                                        \-- nic 10.91.0.2/24        ingot-fl-f (perfdhcp: the flood)
 */
const SERVER = "ingot-fl-s";
const NODE = "ingot-fl-n";
const FLOOD = "ingot-fl-f";
const NODE_MAC = "52:54:00:91:00:01" as Mac;
const POOL = { from: "10.91.0.100", to: "10.91.0.199" };

let namespaces: Namespaces;
let folder: string;
let configFile: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-flood-"));
  configFile = join(folder, "ingot.yaml");
  writeUdhcpcScript(folder);
  namespaces = new Namespaces(SERVER, NODE, FLOOD);
  ip("-n", SERVER, "link", "add", "prov", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0");
  namespaces.cable({ namespace: SERVER, interface: "node" }, { namespace: NODE, interface: "nic", mac: NODE_MAC });
  namespaces.cable(
    { namespace: SERVER, interface: "flood" },
    { namespace: FLOOD, interface: "nic", addresses: ["10.91.0.2/24"] },
  );
  for (const port of ["node", "flood"]) ip("-n", SERVER, "link", "set", port, "master", "prov");
  ip("-n", SERVER, "addr", "add", "10.91.0.1/24", "dev", "prov", "brd", "+");
  ip("-n", SERVER, "link", "set", "prov", "up");

  const [stateDirectory, runtimeDirectory] = [join(folder, "state"), join(folder, "run")];
  for (const path of [stateDirectory, runtimeDirectory]) mkdirSync(path);
  const network = {
    ...{ name: "rack", interface: "prov", address: "10.91.0.1", subnet: "10.91.0.0/24" },
    ...{ pool: [POOL], portals: [{ address: "10.91.0.1" }], tgtd: { control: 0 } },
    ...{ dhcp: "server", besideForeignDhcp: true },
  };
  writeFileSync(configFile, JSON.stringify({ stateDirectory, runtimeDirectory, networks: [network] }));
  const node: NodeRecord = {
    ...{ id: "node-flood0000000", name: "node-1", project: "default", firmware: "bios", loader: "auto" },
    ...{ nics: [{ mac: NODE_MAC, network: "rack", role: "boot" }], power: { driver: "manual" } },
    ...{ createdAt: 0, requestedBy: "test" },
  };
  const more = [{ collection: "nodes", key: node.id, value: node }];
  await fillState(stateDirectory, { network: "rack", leases: 0, firstAddress: POOL.from, more, owner: 0 });
});

afterAll(async () => {
  await namespaces?.remove();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

it("gives a registered node its address while invented MACs ask for all of them, as fast as they can", async () => {
  const main = resolve(import.meta.dirname, "../../src/main.ts");
  const ingotd = namespaces.start(SERVER, [process.execPath, main, "--config", configFile]);
  const log = new Lines(ingotd);
  await log.next(/ingotd is ready/);

  // far more a second than are ever answered: it sends as many as it can
  const flood = ["-4", "-i", "-l", "10.91.0.2", "-r", "100000", "-R", "10000000", "-p", "120", "10.91.0.1"];
  namespaces.start(FLOOD, ["perfdhcp", ...flood]);
  const dropped = JSON.parse(await log.next(/requests dropped/));
  expect(dropped).toMatchObject({ level: "warn", component: "dhcp", network: "rack" });

  const node = startUdhcpc(namespaces, NODE, folder, "-t", "30", "-T", "2");
  const bound = await node.lines.next(/^bound/, 60_000);
  expect(bound).toMatch(/^bound 10\.91\.0\.1\d\d .* lease=3600 /);

  const cli = resolve(import.meta.dirname, "../../src/cli/main.ts");
  const status = [process.execPath, cli, "--socket", join(folder, "run/api.sock"), "status"];
  expect(namespaces.run(SERVER, status)).toMatch(/DHCP server, \d+ requests dropped/);
  expect(log.all.filter((line) => line.includes("requests dropped")).length).toBe(1);
  const about = JSON.parse(log.all.find((line) => line.includes("dhcp: bound")) ?? "{}");
  expect(about).toMatchObject({ mac: NODE_MAC });
}, 120_000);
