/**
 * What a noisy tenant costs another one: red reads at queue depth 64 through the tgtd of its network, blue reads one block at a
 * time through its own, and a node of blue boots. Each tgtd is in a cgroup of its own, as their units have it, and red's may have
 * half a processor (CPUQuota=50%). Red's machine is no machine of the rack here: what it burns is taken from nobody
 * (SCHED_IDLE). The peers are the bounds.
 * usage: npm run bench -- noisy [--json] [--rounds N] [--case TEXT]
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Operation } from "../../src/cli/answers.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { findProcess } from "../lab/lab-state.ts";
import { installPackages } from "../lab/packages.ts";
import { runProgram } from "../lab/program.ts";
import { addQuickMachine } from "../lab/quick-machine.ts";
import { createRack } from "../lab/rack.ts";
import { sideBySide } from "./measure/side-by-side.ts";

const SECONDS = 10;
const CGROUPS = ["red", "blue"].map((project) => `/sys/fs/cgroup/cpu/ingot-bench-noisy-${project}`);
const READER = join(import.meta.dirname, "programs/measure-reads.ts");

type Disk = { address: string; iqn: string; user: string; secret: string; namespace: string };

installPackages(["lab", "curl", "libiscsi-bin"]);
const rack = await createRack({
  ...{ name: "bnoisy", control: 735, stateDirectory: "/var/tmp/ingot-bench-noisy", networks: 2 },
  // secrets are read after the machines said that they are up
  config: { arming: "open", operations: { loginSeconds: 120, readySeconds: 120 } },
});
try {
  for (const [index, cgroup] of CGROUPS.entries()) {
    mkdirSync(cgroup, { recursive: true });
    const pid = await findProcess(rack.stateDirectory, `tgtd-${index}`);
    writeFileSync(join(cgroup, "cgroup.procs"), String(pid));
    if (index === 0) writeFileSync(join(cgroup, "cpu.cfs_quota_us"), "50000");
  }
  await rack.importImage("tiny", await buildTinyImage({ tag: "noisy" }));
  const [red, blue] = [await quick("red", 0), await quick("blue", 1)];
  const node = await rack.addNode({ name: "booting", firmware: "bios", network: 1 });

  const p99 = async () => {
    const argv = [process.execPath, READER, blue.address, "3260", blue.iqn, blue.user, blue.secret, String(SECONDS)];
    return Number(await runProgram("nsenter", [`--net=/run/netns/${blue.namespace}`, ...argv]));
  };
  const boot = async () => {
    const operation = JSON.parse(await rack.ingot("--json", "provision", node.name, "--image", "tiny")) as Operation;
    await rack.ingot("deprovision", node.name, "--delete-disk", "--now", "--yes");
    return Date.parse(operation.endedAt as string) - Date.parse(operation.createdAt);
  };
  const ratio = async (measure: () => Promise<number>) => {
    const quiet = await measure();
    const noise = makeNoise(red);
    const loud = await measure().finally(() => noise.kill("SIGKILL"));
    console.error(`alone ${quiet}, beside the noise ${loud}`);
    return loud / quiet;
  };
  const bound = { unit: "times", better: "lower" as const, peer: "bound" };
  await sideBySide(
    "noisy",
    [
      { ...bound, case: "blue's reads, p99", ours: () => ratio(p99), theirs: 2 },
      { ...bound, case: "blue's boot", ours: () => ratio(boot), theirs: 1.2 },
    ],
    5,
  );
} finally {
  await rack.destroy();
  for (const cgroup of CGROUPS) if (existsSync(cgroup)) rmdirSync(cgroup);
}

/** A provisioned machine that is no more than a network namespace, and how its disk is reached from there. */
async function quick(name: string, network: number): Promise<Disk> {
  const [mac, namespace] = [`52:54:00:7b:00:0${network}`, `ingot-bnoisy-${name}`];
  const address = `10.77.${network}.50`;
  await addQuickMachine(rack, { name, mac, network, address, bmcAddress: `127.0.2.${network + 1}`, namespace });
  await rack.ingot("provision", name, "--image", "tiny");
  const url = `http://${rack.addresses[network]}/boot/${mac}`;
  const script = String(await runProgram("nsenter", [`--net=/run/netns/${namespace}`, "curl", "-sf", url]));
  const found = (pattern: RegExp) => {
    const [, text] = pattern.exec(script) ?? [];
    if (text === undefined) throw new Error(`the boot script of ${name} has no ${pattern}:\n${script}`);
    return text;
  };
  return {
    ...{ address: rack.addresses[network] as string, namespace },
    iqn: found(/(iqn\.[^\s"]+:disk-[0-9a-z]+)/),
    user: found(/set username (\S+)/),
    secret: found(/set password (\S+)/),
  };
}

function makeNoise({ address, iqn, user, secret, namespace }: Disk): ChildProcess {
  const url = `iscsi://${user}%${secret}@${address}:3260/${iqn}/1`;
  const argv = ["chrt", "--idle", "0", "iscsi-perf", "-m", "64", "-b", "8", "-r", "-t", "600", url];
  return spawn("nsenter", [`--net=/run/netns/${namespace}`, ...argv], { stdio: "ignore" });
}
