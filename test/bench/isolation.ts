/**
 * What separating nodes costs: machines that boot in a moment, all provisioned at once behind an Open vSwitch, and all
 * released. The peers are the bounds that it has to keep.
 * usage: npm run bench -- isolation [--json] [--rounds N] [--case TEXT]
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Operation } from "../../src/cli/answers.ts";
import { ApiClient } from "../../src/cli/api-client.ts";
import { installPackages } from "../lab/packages.ts";
import { addQuickMachine } from "../lab/quick-machine.ts";
import { createRack } from "../lab/rack.ts";
import { BMC_NETWORK } from "../lab/switched-network.ts";
import { sideBySide } from "./measure/side-by-side.ts";

const NODES = 24;
const PROJECTS = ["red", "blue"];
const JOINING = ["look-at-owner", "allocate", "isolate"];
const LEAVING = ["leave-networks", "free-node"];
const BOUND_MS = 3000;

type Span = { from: number; to: number };

installPackages(["lab", "switch", "curl"]);
const rack = await createRack({
  ...{ name: "biso", control: 730, stateDirectory: "/var/tmp/ingot-bench-isolation", isolatedProjects: PROJECTS },
  config: { log: { level: "info" } },
});
const api = new ApiClient({ socket: rack.apiSocket });
try {
  const image = join(rack.stateDirectory, "image.raw");
  writeFileSync(image, Buffer.alloc(1024 ** 2, 1));
  await rack.importImage("tiny", image);
  await rack.ingot("image", "share", "tiny", "--public");
  const names: string[] = [];
  for (let index = 0; index < NODES; index++) {
    const network = index % PROJECTS.length;
    const [name, address] = [`node-${index}`, `10.77.${network}.${20 + index}`];
    const mac = `52:54:00:7a:00:${index.toString(16).padStart(2, "0")}`;
    const ready = `curl -s -m 2 -X POST http://${rack.addresses[network]}/boot/${mac}/ready`;
    await addQuickMachine(rack, {
      ...{ name, mac, network, address, bmcAddress: `${BMC_NETWORK}.${20 + index}`, namespace: `ingot-biso-${index}` },
      // seldom: all of them together would keep the machine busy
      program: ["sh", "-c", `while :; do ${ready}; sleep 1; done`],
    });
    names.push(name);
    console.error(`machine ${index + 1} of ${NODES}`);
  }

  const round = async () => ({
    provisioned: await all(names, "provision", { image: "tiny" }),
    released: await all(names, "deprovision", { disk: "delete", now: true }),
  });
  const bound = { unit: "ms", better: "lower" as const, peer: "bound", theirs: BOUND_MS };
  await sideBySide(
    "isolation",
    [
      {
        ...bound,
        case: `joining, ${NODES} at once`,
        ours: async () => covered((await round()).provisioned.flatMap((one) => spans(one, JOINING))),
      },
      {
        ...bound,
        case: "joining, the slowest node",
        ours: async () => Math.max(...(await round()).provisioned.map((one) => sum(spans(one, JOINING)))),
      },
      {
        ...bound,
        case: `leaving, ${NODES} at once`,
        ours: async () => covered((await round()).released.flatMap((one) => spans(one, LEAVING))),
      },
    ],
    3,
  );
} finally {
  await rack.destroy();
}

/** Begins the same for all nodes at once, and waits for the ends. */
async function all(names: string[], verb: string, body: object): Promise<Operation[]> {
  return await Promise.all(
    names.map(async (name) => {
      let operation = await api.post<Operation>(`/v1/nodes/${name}/${verb}`, body);
      while (operation.state === "running") {
        operation = await api.get<Operation>(`/v1/operations/${operation.id}?waitSeconds=20`);
      }
      if (operation.state !== "done") throw new Error(`${operation.summary}: ${JSON.stringify(operation.steps)}`);
      return operation;
    }),
  );
}

function spans({ steps }: Operation, names: string[]): Span[] {
  return steps
    .filter(({ name }) => names.includes(name))
    .map(({ startedAt, endedAt }) => ({ from: Date.parse(startedAt as string), to: Date.parse(endedAt as string) }));
}

function sum(all: Span[]): number {
  return all.reduce((total, { from, to }) => total + to - from, 0);
}

/** For how long anything of it was under way. */
function covered(all: Span[]): number {
  let [total, until] = [0, 0];
  for (const { from, to } of all.toSorted((a, b) => a.from - b.from)) {
    total += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return total;
}
