/**
 * How long ingotd takes from its start until it is ready, and what it occupies when idle, with 1,000 nodes, 200 of them
 * provisioned (their targets in a real tgtd) and 100,000 leases on record. The peers are the bounds that it has to keep.
 * usage: npm run bench -- start [--json] [--rounds N] [--case TEXT]
 */
import { openSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { until } from "../integration/until.ts";
import { NOBODY } from "../lab/as-nobody.ts";
import { fillState } from "../lab/filled-state.ts";
import { findProcess } from "../lab/lab-state.ts";
import { installPackages } from "../lab/packages.ts";
import { createRack } from "../lab/rack.ts";
import { diskId, rackful } from "../lab/rack-records.ts";
import { sideBySide } from "./measure/side-by-side.ts";

const NODES = 1000;
const TARGETS = 200;
const LEASES = 100_000;
const DISK_BYTES = 1024 * 1024;
const BOUNDS = { readyMs: 700, residentMb: 150 };
/** Until the first looks at targets and pool are over. */
const SETTLE_MS = 5000;

installPackages(["lab"]);
const stateDirectory = "/var/tmp/ingot-bench-start";
const FIRST_LEASE = "10.78.0.0";
const rack = await createRack({
  ...{ name: "bstart", control: 725, stateDirectory },
  config: { log: { level: "info" } },
  networkConfig: { subnet: "10.76.0.0/14", pool: [{ from: FIRST_LEASE, to: "10.79.255.254" }] },
});
try {
  await rack.end("ingotd");
  for (let index = 0; index < TARGETS; index++) {
    const file = join(stateDirectory, "pool/disks", `${diskId(index)}.raw`);
    writeFileSync(file, "", { mode: 0o600 });
    truncateSync(file, DISK_BYTES);
  }
  const server = rack.addresses[0] as Ipv4;
  const rackOf = { network: "prov0", server, nodes: NODES, provisioned: TARGETS, diskBytes: DISK_BYTES };
  const leases = { network: "prov0", leases: LEASES, firstAddress: FIRST_LEASE, owner: NOBODY };
  await fillState(join(stateDirectory, "state"), { ...leases, more: rackful(rackOf) });

  await start();
  const logFile = join(stateDirectory, "ingotd.log");
  const made = () => readFileSync(logFile, "utf8").split("target made again").length - 1;
  await until("all targets in tgtd", () => made() === TARGETS, 60_000);
  await rack.end("ingotd");

  const bound = { better: "lower" as const, peer: "bound" };
  await sideBySide(
    "start",
    [
      { ...bound, case: "ready", unit: "ms", ours: readyMs, theirs: BOUNDS.readyMs },
      { ...bound, case: "resident when idle", unit: "MB", ours: residentMb, theirs: BOUNDS.residentMb },
    ],
    5,
  );
} finally {
  await rack.destroy();
}

/** Starts ingotd as the rack does; resolves as soon as it says that it is ready. */
async function start(): Promise<void> {
  const log = openSync(join(stateDirectory, "ingotd.log"), "a");
  const argv = [process.execPath, join(rack.network.repository, "src/main.ts"), "--config", rack.configFile];
  const ingotd = await rack.network.startUnprivileged(argv, {
    name: "ingotd",
    stdio: ["ignore", "pipe", log],
    env: { ...process.env, NODE_COMPILE_CACHE: join(stateDirectory, "compile-cache") },
  });
  await new Promise<void>((ready, failed) => {
    createInterface({ input: ingotd.stdout! }).on("line", (line) => {
      writeFileSync(log, `${line}\n`);
      if (line.includes('"msg":"ingotd is ready"')) ready();
    });
    ingotd.once("exit", () => failed(new Error("ingotd did not start")));
  });
}

async function readyMs(): Promise<number> {
  const began = performance.now();
  await start();
  const took = performance.now() - began;
  await rack.end("ingotd");
  return took;
}

async function residentMb(): Promise<number> {
  await start();
  await sleep(SETTLE_MS);
  const pid = await findProcess(stateDirectory, "ingotd");
  const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  await rack.end("ingotd");
  return Number(kilobytes) / 1024;
}
