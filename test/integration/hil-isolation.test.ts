import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { ImportedNode, Node, Operation } from "../../src/cli/answers.ts";
import { PASSWORD } from "../fakes/hil/rack.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { addQuickMachine } from "../lab/quick-machine.ts";
import { createRack, type Rack } from "../lab/rack.ts";

/** A whole appliance whose nodes HIL separates, in a project and by names that are others there. */

const STATE = "/var/tmp/ingot-hil-isolation";
const PORT = 18_500;
const MAC = "52:54:00:00:00:11";
let rack: Rack;

beforeAll(async () => {
  await destroyEverything(STATE);
  mkdirSync(STATE, { recursive: true });
  const passwordFile = "/var/tmp/ingot-hil-password";
  writeFileSync(passwordFile, `${PASSWORD}\n`, { mode: 0o644 });
  rack = await createRack({
    ...{ stateDirectory: STATE, name: "hilrack", control: 671, networkConfig: { vlan: 20 } },
    config: {
      isolation: {
        driver: "hil",
        hil: { url: `http://127.0.0.1:${PORT}`, user: "admin", passwordFile },
        projects: { crimson: "red", default: "blue" },
      },
    },
  });
  const program = resolve(import.meta.dirname, "programs/hil-rack.ts");
  await rack.network.start([process.execPath, program, String(PORT)], {
    name: "hil",
    stdio: ["ignore", "ignore", "ignore"],
  });
  const file = join(rack.importDirectory, "golden.raw");
  writeFileSync(file, Buffer.alloc(1024 ** 2, "golden "));
  await rack.ingot("project", "add", "crimson");
  await rack.ingot(
    "--project",
    "crimson",
    "image",
    "import",
    "golden",
    "--file",
    file,
    "--format",
    "raw",
    "--phones-home",
  );
  await addQuickMachine(rack, {
    ...{ name: "web", mac: MAC, address: "10.77.0.61", bmcAddress: "127.0.1.61", namespace: "ingot-hil-web" },
  });
});
afterAll(() => destroyEverything(STATE));

/** What HIL says itself of its node n1. */
async function inHil(): Promise<{ project: string | null; nics: { label: string; networks: object }[] }> {
  const url = `http://127.0.0.1:${PORT}/v0/node/n1`;
  return JSON.parse(await rack.network.run(["curl", "-sf", "-u", `admin:${PASSWORD}`, url]));
}

async function isolator(): Promise<{ subject: string; state: string }[]> {
  const url = "http://ingot/v1/system/doctor";
  const answer: { check: string; subject: string; state: string }[] = JSON.parse(
    await rack.network.run(["curl", "-sf", "--unix-socket", rack.apiSocket, url]),
  );
  return answer.filter(({ check }) => check === "isolator").map(({ subject, state }) => ({ subject, state }));
}

it("takes over what HIL knows, and gives a registered node HIL's name and labels", async () => {
  const how = ["node", "import", "--network", "prov0", "--firmware", "bios", "--yes"];
  const planned = await rack.ingotJson<ImportedNode[]>(...how, "--dry-run");
  expect(planned).toMatchObject([
    { isolatedAs: "n1", node: "web", outcome: "cabled" },
    { isolatedAs: "n2", node: "n2", outcome: "new", bootNic: { label: "eth0" } },
  ]);
  expect(await rack.ingotJson<ImportedNode[]>(...how)).toEqual(planned);
  expect(await rack.ingotJson<Node>("node", "show", "n2")).toMatchObject({ power: { driver: "hil" } });
  expect(await rack.ingot("node", "import", "--network", "prov0", "--firmware", "bios")).toMatch(/n1 +web +known/);
});

it("provisions and releases a node in the project that HIL calls otherwise", async () => {
  await rack.ingot("node", "move", "web", "crimson");
  expect(await rack.ingotJson<Operation>("provision", "web", "--image", "golden")).toMatchObject({ state: "done" });
  expect(await inHil()).toMatchObject({
    project: "red",
    nics: [
      { label: "eth0", networks: { "vlan/native": "prov0" } },
      { label: "eth1", networks: {} },
    ],
  });
  expect(await isolator()).toEqual([
    { subject: `http://127.0.0.1:${PORT}`, state: "ok" },
    { subject: "project blue", state: "ok" },
    { subject: "project red", state: "ok" },
    { subject: "network prov0", state: "ok" },
  ]);
  const release = ["deprovision", "web", "--delete-disk", "--now", "--yes"];
  expect(await rack.ingotJson<Operation>(...release)).toMatchObject({ state: "done" });
  expect(await inHil()).toMatchObject({ project: null, nics: [{ networks: {} }, { networks: {} }] });
});

it("says at once that a project is none of HIL's, and leaves nothing of the node", async () => {
  await rack.ingot("project", "add", "beige");
  await rack.ingot("node", "move", "web", "beige", "--unwiped");
  const file = join(rack.importDirectory, "golden.raw");
  await rack.ingot("--project", "beige", "image", "import", "golden", "--file", file, "--format", "raw");
  await expect(rack.ingot("provision", "web", "--image", "golden")).rejects.toThrow(/beige/);
  expect(await inHil()).toMatchObject({ project: null });
});
