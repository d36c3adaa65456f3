import type { IsolatedNode } from "../drivers/isolation/network-isolator.ts";
import { ApplianceError, isApplianceError, toApplianceError } from "../errors.ts";
import { isolatedName, type Nic, type NodeRecord } from "../nodes/node.ts";
import type { NewNode } from "../nodes/node-registry.ts";
import type { Mac } from "../values/mac.ts";
import { byName, NAME_PATTERN } from "../values/name.ts";
import type { Appliance } from "./appliance.ts";
import { networkOf } from "./attachment.ts";
import { addNode, type Cabling, cableNode } from "./cable-node.ts";
import { isolatedProject } from "./isolation-steps.ts";

/** What HIL can't say of the nodes that are taken over from it. */
export type NodeImport = {
  /** By HIL's names; all that it shows, when there is none. */
  nodes: string[];
  /** HIL's label of the NIC that they boot from; the first one by default. */
  bootNic?: string;
  /** The provisioning network of that NIC. */
  network: string;
  firmware: "bios" | "uefi";
  loader: "auto" | "ours";
  power: "hil" | "manual";
  /** The owner of those that nobody has in HIL. */
  project: string;
  /** Only say what would become of each. */
  dryRun: boolean;
};

/**
 * What becomes of one node of HIL: `new`, it is registered; `cabled`, it was, and gets HIL's names of itself and its NICs;
 * `known`, nothing is left to do; `refused`.
 */
export type ImportedNode = {
  /** HIL's name. */
  isolatedAs: string;
  outcome: "new" | "cabled" | "known" | "refused";
  /** Its name here; absent where it has none. */
  node?: string;
  project?: string;
  bootNic?: { label: string; mac: Mac };
  /** Why it is refused, or what is left out. */
  reason?: string;
};

type Planned = ImportedNode & { add?: NewNode; cable?: { id: string; cabling: Cabling } };

const LIST_MS = 120_000;

/**
 * Makes nodes of those that HIL knows, each by itself, by name. Those that are registered already are found by MAC or name, and keep what
 * they have. INVALID where HIL is not the isolator, and for a network that is not configured; NOT_FOUND for the project; as
 * `NetworkIsolator` where HIL does not say what it knows.
 */
export async function importNodes(
  appliance: Appliance,
  request: NodeImport,
  requestedBy: string,
): Promise<ImportedNode[]> {
  const { driver } = appliance.config.isolation;
  if (driver !== "hil") throw notFromHere(driver);
  checkNetwork(appliance, request.network);
  appliance.projects.get(request.project);
  const found = await look(appliance, request.nodes);
  const seen = new Map<Mac, string>();
  const answers: ImportedNode[] = [];
  const planned = found.map(
    (one): Planned => ("refused" in one ? one.refused : plan(appliance, request, one.node, seen)),
  );
  for (const { add, cable, ...row } of planned) {
    answers.push(request.dryRun ? row : await carryOut(appliance, row, { add, cable }, requestedBy));
  }
  return answers;
}

async function carryOut(
  appliance: Appliance,
  row: ImportedNode,
  { add, cable }: { add: Planned["add"]; cable: Planned["cable"] },
  requestedBy: string,
): Promise<ImportedNode> {
  try {
    if (add) await addNode(appliance, add, requestedBy);
    if (cable) await cableNode(appliance, cable.id, cable.cabling);
    return row;
  } catch (error) {
    const { message, details } = toApplianceError(error);
    return refused(row, details.remedy === undefined ? message : `${message}; ${details.remedy}`);
  }
}

type Found = { node: IsolatedNode } | { refused: ImportedNode };

async function look(appliance: Appliance, names: string[]): Promise<Found[]> {
  const signal = AbortSignal.timeout(LIST_MS);
  const isolator = appliance.isolator();
  if (names.length === 0) return (await isolator.nodes(signal)).sort(byName).map((node) => ({ node }));
  const looked = [...new Set(names)].map(async (name): Promise<Found> => {
    try {
      return { node: await isolator.node(name, signal) };
    } catch (error) {
      if (!["NOT_FOUND", "FORBIDDEN"].some((code) => isApplianceError(error, code as "NOT_FOUND"))) throw error;
      return { refused: refused({ isolatedAs: name }, (error as ApplianceError).message) };
    }
  });
  return await Promise.all(looked);
}

/** What becomes of one; `seen`: MACs of those before it, and whose they are. */
function plan(appliance: Appliance, request: NodeImport, there: IsolatedNode, seen: Map<Mac, string>): Planned {
  const macs = there.nics.flatMap(({ mac }) => (mac === undefined ? [] : [mac as Mac]));
  const twin = macs.map((mac) => seen.get(mac)).find((name) => name !== undefined);
  for (const mac of macs) seen.set(mac, there.name);
  const about = { isolatedAs: there.name };
  if (twin !== undefined) return refused(about, `HIL has a MAC of it at ${twin} too: correct that in HIL`);
  if (new Set(macs).size < macs.length) return refused(about, "HIL has the same MAC twice: correct that in HIL");
  const nodes = appliance.nodes.list();
  const byMac = new Set(macs.flatMap((mac) => appliance.nodes.findByMac(mac) ?? []));
  if (byMac.size > 1) {
    const names = [...byMac].map(({ name }) => name).join(" and ");
    return refused(about, `its NICs are those of ${names} here: remove one of them, or correct HIL`);
  }
  const [same] = byMac;
  if (same) return planCabling(same, there);
  const name = there.name.toLowerCase();
  const namesake = nodes.find((one) => one.name === name || isolatedName(one) === there.name);
  if (namesake) {
    const nics = namesake.nics.map(({ mac }) => mac).join(", ");
    const theirs = macs.join(", ") || "no address";
    return refused(
      { ...about, node: namesake.name },
      `the node of that name here has other NICs (${nics}) than HIL says (${theirs})`,
    );
  }
  return planNew(appliance, request, there, name);
}

function planCabling(node: NodeRecord, there: IsolatedNode): Planned {
  const row = { isolatedAs: there.name, node: node.name, project: node.project };
  const isRenamed = isolatedName(node) !== there.name;
  if (isRenamed && (node.power.driver === "hil" || node.nics.some(({ port }) => port !== undefined))) {
    const remedy = `ingot node cable ${node.name} --isolated-as ${there.name}, if that is wrong`;
    return refused(
      row,
      `its NICs are those of node ${node.name} here, which is ${isolatedName(node)} in HIL: ${remedy}`,
    );
  }
  const labels = new Map(there.nics.map(({ mac, name }) => [mac, name]));
  const ports: NonNullable<Cabling["ports"]> = [];
  for (const { mac, port } of node.nics) {
    const label = labels.get(mac);
    if (label === undefined || label === port) continue;
    if (port !== undefined) {
      return refused(row, `NIC ${mac} is ${port} here, and ${label} in HIL: ingot node cable ${node.name} corrects it`);
    }
    ports.push({ mac, port: label });
  }
  if (ports.length === 0 && !isRenamed) return { ...row, outcome: "known" };
  const cabling = { ports, ...(isRenamed ? { isolatedAs: there.name } : {}) };
  return { ...row, outcome: "cabled", cable: { id: node.id, cabling } };
}

function planNew(appliance: Appliance, request: NodeImport, there: IsolatedNode, name: string): Planned {
  const about = { isolatedAs: there.name };
  if (!NAME_PATTERN.test(name)) {
    return refused(about, `no node here can be called so: ingot node add NAME --isolated-as ${there.name}`);
  }
  const row = { ...about, node: name };
  const project = projectOf(appliance, there.project, request.project);
  if (project === undefined) {
    return refused(row, `${there.project} has it in HIL, and no project here is that one: see isolation.projects`);
  }
  const network = networkOf(appliance, request.network);
  if (network.project !== undefined && network.project !== project) {
    return refused({ ...row, project }, `network ${network.name} is project ${network.project}'s`);
  }
  const labels = there.nics.map(({ name }) => name).join(", ") || "none";
  const boot = request.bootNic === undefined ? there.nics[0] : there.nics.find((one) => one.name === request.bootNic);
  if (!boot) return refused({ ...row, project }, `HIL knows no NIC ${request.bootNic ?? "of it"}; NICs: ${labels}`);
  if (boot.mac === undefined) return refused({ ...row, project }, `HIL has no MAC of its NIC ${boot.name}`);
  const nics = there.nics.flatMap((nic): Nic[] => {
    if (nic.mac === undefined) return [];
    const isBoot = nic === boot;
    const role = isBoot ? ("boot" as const) : ("data" as const);
    return [{ mac: nic.mac as Mac, role, port: nic.name, ...(isBoot ? { network: network.name } : {}) }];
  });
  const without = there.nics.filter(({ mac }) => mac === undefined).map((nic) => nic.name);
  const isNamesake = there.name === name;
  const add: NewNode = {
    ...{ name, project, nics, firmware: request.firmware, loader: request.loader },
    power:
      request.power === "manual"
        ? { driver: "manual" }
        : { driver: "hil", ...(!isNamesake && { hilNode: there.name }) },
    ...(request.power === "manual" && !isNamesake && { isolatedAs: there.name }),
  };
  return {
    ...row,
    ...{ outcome: "new", project, bootNic: { label: boot.name, mac: boot.mac as Mac } },
    ...(without.length > 0 && { reason: `without ${without.join(", ")}: HIL has no MAC of it` }),
    add,
  };
}

/** Our project that HIL calls so; `free` for a node that nobody has; undefined where there is none. */
function projectOf(appliance: Appliance, there: string | undefined, free: string): string | undefined {
  if (there === undefined) return free;
  return appliance.projects.list().find(({ name }) => isolatedProject(appliance, name) === there)?.name;
}

function refused(row: Omit<ImportedNode, "outcome" | "reason">, reason: string): ImportedNode {
  return { ...row, outcome: "refused", reason };
}

function checkNetwork({ config }: Appliance, name: string): void {
  if (config.networks.some((one) => one.name === name)) return;
  const known = config.networks.map((one) => one.name).join(", ");
  throw new ApplianceError("INVALID", `network: there is no network "${name}"`, {
    details: { field: "network", value: name, remedy: `configured networks: ${known}` },
  });
}

function notFromHere(driver: string): ApplianceError {
  const why =
    driver === "ovs"
      ? "Open vSwitch knows ports and no nodes; which node is at which port is said here"
      : "nobody separates nodes, so nobody else knows them";
  const remedy =
    driver === "ovs"
      ? "ingot node add NAME --port PORT …; ingot discovered lists machines that asked for a boot"
      : "set isolation.driver: hil, or register them: ingot node add";
  return new ApplianceError("INVALID", `isolation.driver is ${driver}: ${why}`, {
    details: { field: "isolation.driver", value: driver, remedy },
  });
}
