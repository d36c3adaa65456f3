/**
 * npm run lab: a rack of virtual bare metal on this machine, with a real appliance in front of it.
 * See `npm run lab -- --help`.
 */
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { type BootCost, measureBootCost } from "./boot-cost.ts";
import { lookAtReach } from "./isolated-nodes.ts";
import { installPackages } from "./packages.ts";
import type { Rack, RackNode } from "./rack.ts";

const STATE_DIRECTORY = "/var/tmp/ingot-lab";
/** tgtd's control numbers are machine-wide: the lab takes the first that is free from here on. */
const FIRST_CONTROL = 900;
/** Of the lab behind Open vSwitch. */
const PROJECTS = ["red", "blue"];
/** Emulated machines share two cores: more at a time would only wait for each other. */
const BOOTS_AT_A_TIME = 2;

const USAGE = `usage: npm run lab [-- OPTIONS]

Boots virtual bare-metal nodes from copy-on-write clones of one image, through
real firmware, a real iSCSI target and a real BMC protocol, and stays up.

  --nodes N                nodes in the rack (1)
  --firmware bios|uefi     their firmware (bios)
  --image tiny|debian      a 59 MiB Linux, or a full Debian (tiny)
  --storage file|rbd       a local pool, or a Ceph of one node (file)
  --isolation none|ovs     ovs: two projects, red and blue, each with a provisioning
                           network to itself behind an Open vSwitch; four nodes
                           boot, and a table tells who reaches what (none)
  --once                   boot every node, print timelines and one line of
                           JSON, tear down; exit 0 only if all came up
  --idle-minutes N         then measure for so long what the idle node reads and
                           writes (10, or 0 with --once)
  --name NAME              tells labs on one machine apart, with --state (lab)
  --state DIR              where the lab keeps its files (${STATE_DIRECTORY})
`;

type Boot = { stages: { stage: string; sinceStartSeconds: number }[] };
type BootedNode = {
  node: string;
  project?: string;
  firmware: string;
  stages: { stage: string; seconds: number }[];
  readySeconds: number;
  cost: BootCost;
  idle?: { seconds: number; readBytesPerSecond: number; writtenBytesPerSecond: number };
};

/** Ctrl-c and its like: no failure. */
class Interrupted extends Error {}

const began = Date.now();
const say = (text: string) => console.log(`[${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s] ${text}`);

const { values: options } = parseArgs({
  options: {
    nodes: { type: "string" },
    firmware: { type: "string", default: "bios" },
    image: { type: "string", default: "tiny" },
    storage: { type: "string", default: "file" },
    isolation: { type: "string", default: "none" },
    once: { type: "boolean", default: false },
    "idle-minutes": { type: "string" },
    name: { type: "string", default: "lab" },
    state: { type: "string", default: STATE_DIRECTORY },
    help: { type: "boolean", default: false },
  },
});

const isIsolated = options.isolation === "ovs";
const nodeCount = Number(options.nodes ?? (isIsolated ? 4 : 1));
const idleMinutes = Number(options["idle-minutes"] ?? (options.once ? 0 : 10));
if (options.help) {
  console.log(USAGE);
} else if (!Number.isInteger(nodeCount) || nodeCount < 1 || nodeCount > 32) {
  fail(`--nodes: "${options.nodes}" is not a number from 1 to 32`);
} else if (!(idleMinutes >= 0 && idleMinutes <= 1440)) {
  fail(`--idle-minutes: "${options["idle-minutes"]}" is not a number from 0 to 1440`);
} else if (options.firmware !== "bios" && options.firmware !== "uefi") {
  fail(`--firmware: "${options.firmware}" is neither bios nor uefi`);
} else if (options.image !== "tiny" && options.image !== "debian") {
  fail(`--image: "${options.image}" is neither tiny nor debian`);
} else if (options.storage !== "file" && options.storage !== "rbd") {
  fail(`--storage: "${options.storage}" is neither file nor rbd`);
} else if (options.isolation !== "none" && options.isolation !== "ovs") {
  fail(`--isolation: "${options.isolation}" is neither none nor ovs`);
} else if (isIsolated && options.image !== "tiny") {
  fail(`--isolation: ovs looks from inside the nodes, which is done with image tiny`);
} else if (isIsolated && options.storage !== "file") {
  fail("--isolation: the tgtd of an isolated network has no way to Ceph; use storage file");
} else if (process.getuid?.() !== 0) {
  fail("the lab makes network namespaces and mounts a pool: run it as root");
} else {
  await lab(options.firmware, options.image, options.storage);
}

function fail(message: string): void {
  console.error(`${message}\n\n${USAGE}`);
  process.exitCode = 2;
}

async function lab(firmware: "bios" | "uefi", image: "tiny" | "debian", storage: "file" | "rbd"): Promise<void> {
  say("packages");
  installPackages([
    "lab",
    ...(isIsolated ? ["switch"] : []),
    ...(image === "debian" ? ["debootstrap"] : []),
    ...(storage === "rbd" ? ["ceph"] : []),
  ]);
  // these need the packages, or are slow to load
  const { buildTinyImage } = await import("./image/tiny-image.ts");
  const { createRack } = await import("./rack.ts");
  const { destroyEverything } = await import("./lab-state.ts");

  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.once(signal, () => reject(new Interrupted(signal)));
    }
  });
  interrupted.catch(() => {});
  let outcome: object | undefined;
  if (existsSync(options.state)) say("clearing away what an earlier lab left");
  try {
    say(`image ${image}`);
    const file =
      image === "tiny"
        ? await buildTinyImage({ tag: "lab" })
        : await (await import("./image/debian-image.ts")).buildDebianImage();
    say(`network, ${storage === "rbd" ? "Ceph" : "pool"}, target server, ingot-storaged, ingotd`);
    const rack = await Promise.race([
      createRack({
        ...{ stateDirectory: options.state, name: options.name, control: freeControl(), storage },
        ...(isIsolated ? { isolatedProjects: PROJECTS } : {}),
      }),
      interrupted,
    ]);
    const { booted: result, reached } = await Promise.race([run(rack, firmware, image, file), interrupted]);
    if (options.once) {
      if (idleMinutes > 0)
        await Promise.race([Promise.all(result.map((booted) => sayIdle(rack, booted))), interrupted]);
      outcome = { lab: "ok", nodes: result, ...(reached ? { reached } : {}) };
      return;
    }
    explain(rack);
    await Promise.race([Promise.all(result.map((booted) => sayIdle(rack, booted))), interrupted]);
    await interrupted;
  } catch (error) {
    if (!(error instanceof Interrupted)) {
      console.error(error instanceof Error ? error.message : error);
      outcome = { lab: "failed", reason: error instanceof Error ? error.message : String(error) };
      process.exitCode = 1;
    }
  } finally {
    say("tearing down");
    await destroyEverything(options.state);
    // programs read the last line
    if (options.once && outcome) console.log(JSON.stringify(outcome));
  }
}

function freeControl(): number {
  let control = FIRST_CONTROL;
  while (existsSync(`/run/tgtd/socket.${control}`)) control += 1;
  return control;
}

type Run = { booted: BootedNode[]; reached?: Record<string, string[]> };

async function run(rack: Rack, firmware: "bios" | "uefi", image: string, file: string): Promise<Run> {
  say(`importing image ${image}`);
  await rack.importImage(image, file);
  if (isIsolated) await rack.ingot("image", "share", image, "--public");
  const nodes: RackNode[] = [];
  for (let number = 1; number <= nodeCount; number++) {
    const network = isIsolated ? (number - 1) % PROJECTS.length : 0;
    const name = isIsolated ? `${PROJECTS[network]}-${Math.ceil(number / PROJECTS.length)}` : `node-${number}`;
    const memoryMib = image === "debian" ? 1024 : 512;
    const loader = firmware === "bios" ? "ipxe" : "firmware";
    nodes.push(await rack.addNode({ name, firmware, network, loader, memoryMib }));
  }
  const waiting = [...nodes];
  const booted: BootedNode[] = [];
  // in the lab that stays up, people play with the other nodes themselves
  const wanted = options.once || isIsolated ? nodes.length : 1;
  const worker = async () => {
    for (let node = waiting.shift(); node && booted.length < wanted; node = waiting.shift()) {
      booted.push(await boot(rack, node, image));
      if (wanted === 1) return;
    }
  };
  const workers = Array.from({ length: wanted === 1 ? 1 : BOOTS_AT_A_TIME }, worker);
  await Promise.all(workers);
  booted.sort((a, b) => a.node.localeCompare(b.node, "en", { numeric: true }));
  if (!isIsolated) return { booted };
  say("each node tries to reach all others, every portal, boot server and BMC");
  const { table, reached, isTight } = await lookAtReach(rack, nodes);
  console.log(`\n--- who reaches what\n${table}\n`);
  if (!isTight) throw new Error("the nodes are not isolated as they shall be");
  return { booted, reached };
}

async function boot(rack: Rack, node: RackNode, image: string): Promise<BootedNode> {
  const project = node.project === undefined ? [] : ["--project", node.project];
  say(["ingot provision", node.name, "--image", image, ...project].join(" "));
  try {
    await rack.ingot("provision", node.name, "--image", image, ...project);
  } catch (error) {
    const lines = (await node.console.lines()).filter((line) => line.trim() !== "");
    throw new Error(
      `${error instanceof Error ? error.message : error}\nlast lines of its console:\n${lines.slice(-15).join("\n")}`,
    );
  }
  const timeline = await rack.ingot("node", "timeline", node.name, ...project);
  const [newest] = await rack.ingotJson<Boot[]>("node", "timeline", node.name, ...project);
  const stages = (newest?.stages ?? []).map((one) => ({ stage: one.stage, seconds: one.sinceStartSeconds }));
  const readySeconds = stages.at(-1)?.seconds ?? 0;
  const cost = await measureBootCost(rack, node.name, node.project);
  if (!options.once) {
    console.log(`\n--- serial console of ${node.name}`);
    for (const line of (await node.console.lines()).filter((one) => one.trim() !== "").slice(-12))
      console.log(`  ${line}`);
  }
  console.log(`\n--- boot timeline of ${node.name}\n${timeline}`);
  console.log(
    `read until ready: ${(cost.readBytes / 1e6).toFixed(1)} MB of ${(cost.diskBytes / 1e6).toFixed(0)} MB; written: ${(cost.writtenBytes / 1e6).toFixed(2)} MB\n`,
  );
  return {
    node: node.name,
    ...(node.project ? { project: node.project } : {}),
    firmware: node.firmware,
    stages,
    readySeconds,
    cost,
  };
}

/** What a node that does nothing costs: the appliance must bear it times the size of the rack. */
async function sayIdle(rack: Rack, booted: BootedNode): Promise<void> {
  const from = Date.now();
  await new Promise((resolve) => setTimeout(resolve, idleMinutes * 60_000).unref());
  const cost = await measureBootCost(rack, booted.node, booted.project);
  const seconds = (Date.now() - from) / 1000;
  const rate = (now: number, before: number) => (now - before) / seconds;
  booted.idle = {
    seconds: Math.round(seconds),
    readBytesPerSecond: rate(cost.readBytes, booted.cost.readBytes),
    writtenBytesPerSecond: rate(cost.writtenBytes, booted.cost.writtenBytes),
  };
  const kb = (bytes: number) => `${(bytes / 1000).toFixed(2)} kB/s`;
  const { readBytesPerSecond, writtenBytesPerSecond } = booted.idle;
  say(
    `${booted.node}, idle for ${idleMinutes} min: read ${kb(readBytesPerSecond)}, written ${kb(writtenBytesPerSecond)}`,
  );
}

function explain(rack: Rack): void {
  const [node, project] = isIsolated ? ["red-1", " --project red"] : ["node-1", ""];
  const ingot = `npm run -s ingot -- --socket ${rack.apiSocket}${project}`;
  console.log(`The lab is up. In another terminal, in this folder:

  alias ingot='${ingot}'
  ingot status
  ingot node list
  ingot node timeline ${node}
  ingot disk snapshot ${node}-1 --as my-snapshot
  ingot deprovision ${node} --keep-disk
  ingot provision ${node} --disk ${node}-1
  ingot doctor

serial console of ${node} (leave with ctrl-]):
  socat -,raw,echo=0,escape=0x1d UNIX:${rack.stateDirectory}/nodes/${node}/line.sock

logs: ${rack.stateDirectory}/*.log          ctrl-c ends the lab and removes it all
`);
}
