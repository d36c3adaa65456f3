import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ip, Lines, Namespaces } from "./namespaces.ts";

/** A whole appliance whose nodes' power is in HIL, from configuration and command line to OBMd. */

const NAMESPACE = "ingot-hil";
let namespaces: Namespaces;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-hil-"));
  namespaces = new Namespaces(NAMESPACE);
  ip("-n", NAMESPACE, "link", "add", "prov", "type", "bridge");
  ip("-n", NAMESPACE, "addr", "add", "10.97.0.1/24", "dev", "prov");
  ip("-n", NAMESPACE, "link", "set", "prov", "up");
  const program = resolve(import.meta.dirname, "programs/hil-rack.ts");
  const hil = namespaces.start(NAMESPACE, [process.execPath, program]);
  const line = await new Lines(hil).next(/url/, 30_000);
  const { url, password } = JSON.parse(line);
  writeFileSync(join(folder, "password"), `${password}\n`);
  const [stateDirectory, runtimeDirectory] = [join(folder, "state"), join(folder, "run")];
  for (const path of [stateDirectory, runtimeDirectory]) mkdirSync(path);
  const network = {
    ...{ name: "rack", interface: "prov", address: "10.97.0.1", subnet: "10.97.0.0/24" },
    ...{ portals: [{ address: "10.97.0.1" }], tgtd: { control: 0 } },
  };
  const isolation = { hil: { url, user: "admin", passwordFile: join(folder, "password") } };
  const config = { stateDirectory, runtimeDirectory, networks: [network], isolation };
  writeFileSync(join(folder, "ingot.yaml"), JSON.stringify(config));
  const main = resolve(import.meta.dirname, "../../src/main.ts");
  const ingotd = namespaces.start(NAMESPACE, [process.execPath, main, "--config", join(folder, "ingot.yaml")]);
  await new Lines(ingotd).next(/ingotd is ready/, 60_000);
}, 120_000);

afterAll(async () => {
  await namespaces?.remove();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

function ingot(...args: string[]) {
  const cli = resolve(import.meta.dirname, "../../src/cli/main.ts");
  const socket = ["--socket", join(folder, "run/api.sock"), "--json"];
  return JSON.parse(namespaces.run(NAMESPACE, [process.execPath, cli, ...socket, ...args]));
}

it("switches a node through HIL, by the name that it has there", () => {
  const mac = "52:54:00:00:00:11";
  ingot("node", "add", "web", "--mac", mac, "--network", "rack", "--firmware", "bios", "--bmc", "hil://n1");
  const add = ["node", "add", "db", "--mac", "52:54:00:00:00:12", "--network", "rack", "--firmware", "bios"];
  expect(() => ingot(...add, "--bmc", "hil://n2", "--bmc-password-file", "/p")).toThrow(/takes no password/);
  expect(ingot("node", "show", "web").power).toEqual({ driver: "hil", hilNode: "n1" });
  expect(ingot("node", "power", "web")).toEqual({ node: "web", power: "off" });
  expect(ingot("node", "power", "web", "on")).toMatchObject({ state: "done" });
  expect(ingot("node", "power", "web")).toEqual({ node: "web", power: "on" });
  expect(ingot("node", "power", "web", "off")).toMatchObject({ state: "done" });
  expect(ingot("node", "power", "web")).toEqual({ node: "web", power: "off" });
});
