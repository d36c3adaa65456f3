/** A running ingotd reads its configuration again on SIGHUP; a file with an error changes nothing. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { destroyEverything, findProcess } from "../lab/lab-state.ts";
import { createRack, type Rack } from "../lab/rack.ts";
import { until } from "./until.ts";

const STATE = "/var/tmp/ingot-reload";
let rack: Rack;

beforeAll(async () => {
  rack = await createRack({ stateDirectory: STATE, name: "reload", control: 680 });
});
afterAll(() => destroyEverything(STATE));

const log = () => readFileSync(join(STATE, "ingotd.log"), "utf8");

async function reload(change: (config: string) => string): Promise<void> {
  writeFileSync(rack.configFile, change(readFileSync(rack.configFile, "utf8")));
  const pid = (await findProcess(STATE, "ingotd"))!;
  expect(pid).toBeGreaterThan(1);
  process.kill(pid, "SIGHUP");
}

it("takes over what it can, names what waits, and keeps the former one on an error", async () => {
  await reload((config) => `${config}chap: mutual\n`.replace("level: debug", "level: info"));
  await until("the configuration is read", () => log().includes('"needRestart":["log.level"]'));

  await reload((config) => `${config}chapp: mutual\n`);
  await until("the error is told", () => log().includes("configuration not read again, the former one stays"));
  expect(log()).toContain("chapp");
  expect(await rack.ingot("status")).toContain("prov0");
});
