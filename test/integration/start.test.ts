import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { fillState } from "../lab/filled-state.ts";
import { rackful } from "../lab/rack-records.ts";
import { ip, Lines, Namespaces } from "./namespaces.ts";

const NAMESPACE = "ingot-start";
const SERVER = "10.92.0.1" as Ipv4;
const LEASES = 100_000;
const NODES = 1000;

let namespaces: Namespaces;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-start-"));
  namespaces = new Namespaces(NAMESPACE);
  ip("-n", NAMESPACE, "link", "add", "prov", "type", "bridge");
  ip("-n", NAMESPACE, "addr", "add", `${SERVER}/14`, "dev", "prov");
  ip("-n", NAMESPACE, "link", "set", "prov", "up");
  const [stateDirectory, runtimeDirectory] = [join(folder, "state"), join(folder, "run")];
  for (const path of [stateDirectory, runtimeDirectory]) mkdirSync(path);
  const network = {
    ...{ name: "rack", interface: "prov", address: SERVER, subnet: "10.92.0.0/14", portals: [{ address: SERVER }] },
    ...{ pool: [{ from: "10.93.0.0", to: "10.95.255.254" }], tgtd: { control: 0 } },
  };
  writeFileSync(join(folder, "ingot.yaml"), JSON.stringify({ stateDirectory, runtimeDirectory, networks: [network] }));
  const more = rackful({ network: "rack", server: SERVER, nodes: NODES, provisioned: 0, diskBytes: 0 });
  const leases = { network: "rack", leases: LEASES, firstAddress: "10.93.0.0", owner: 0 };
  await fillState(stateDirectory, { ...leases, more });
}, 60_000);

afterAll(async () => {
  await namespaces?.remove();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

it("starts with 100,000 leases and 1,000 nodes on record, from compiled code after a crash; the figures are printed", async () => {
  const cache = join(folder, "cache");
  const main = resolve(import.meta.dirname, "../../src/main.ts");
  const cli = resolve(import.meta.dirname, "../../src/cli/main.ts");
  for (const [how, signal] of [
    ["cold", "SIGKILL"],
    ["after a crash", "SIGTERM"],
  ] as const) {
    const began = performance.now();
    const argv = [process.execPath, main, "--config", join(folder, "ingot.yaml")];
    const ingotd = namespaces.start(NAMESPACE, argv, { env: { ...process.env, NODE_COMPILE_CACHE: cache } });
    await new Lines(ingotd).next(/ingotd is ready/, 60_000);
    const readyMs = Math.round(performance.now() - began);

    const asked = [process.execPath, cli, "--socket", join(folder, "run/api.sock"), "--json", "status"];
    const status = JSON.parse(namespaces.run(NAMESPACE, asked));
    expect(status.counts).toMatchObject({ leases: LEASES, nodes: NODES });
    // written before the crash, or the next start would compile all of it again
    expect(readdirSync(cache, { recursive: true }).length).toBeGreaterThan(100);
    const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${ingotd.pid}/status`, "utf8")) ?? [];
    console.log(`start, ${how}: ready in ${readyMs} ms, then ${Math.round(Number(kilobytes) / 1024)} MB resident`);

    const exit = once(ingotd, "exit");
    ingotd.kill(signal);
    await exit;
  }
}, 120_000);
