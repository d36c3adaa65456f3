import pLimit from "p-limit";
import type { BootEntry } from "../boot/boot-entry.ts";
import type { IsolatedNode } from "../drivers/isolation/network-isolator.ts";
import type { TargetState } from "../drivers/targets/target-server.ts";
import { ApplianceError, isApplianceError, toApplianceError } from "../errors.ts";
import { allocationOf } from "../nodes/allocation.ts";
import { isolatedName, type NodeRecord } from "../nodes/node.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf } from "./attachment.ts";
import { heldFromNow } from "./held-from-now.ts";

/** BMCs asked at a time, each a process, and for how long: whoever asks waits for a whole rack of dead ones. */
const AT_ONCE = 32;
const BMC_MS = 20_000;
/** Whose a node is that the isolator hides. */
const HIDDEN = "another project";

/** A networks of a NIC, as text for people: `port-1: prov`, `port-1: storage (tagged)`. */
export type NicNetwork = { nic: string; network: string; channel: "native" | "tagged" };

/** What each of them says of one node; `trouble` where it could not be asked. */
export type NodeStanding = {
  node: NodeRecord;
  /** Whether an operation is at it, or was while they were asked: then they need not agree. */
  busy: boolean;
  /** The records: the disk that it boots, and where the isolator must have it. */
  entry: BootEntry | undefined;
  owner: string | undefined;
  networks: NicNetwork[];
  /** The isolator; absent where there is none, or nobody said where the node is cabled to. */
  isolator?: { owner: string | undefined; networks: NicNetwork[] } | Trouble;
  /** Whether its disk is served. */
  target: boolean | Trouble;
  /** Its BMC; absent where there is none that may be asked: HIL changes something when it is. */
  power?: "on" | "off" | Trouble;
};
export type Trouble = { trouble: ApplianceError };

/** Whether this is an answer. */
export function isAnswer<T>(said: T | Trouble): said is T {
  return !(typeof said === "object" && said !== null && "trouble" in said);
}

/** What records, isolator, target servers and BMCs say of every node, side by side, by name. Changes nothing. */
export async function compareNodes(appliance: Appliance, signal: AbortSignal): Promise<NodeStanding[]> {
  const heldSince = heldFromNow(appliance.runner);
  const nodes = appliance.nodes.list();
  const limit = pLimit(AT_ONCE);
  const [isolated, served, powers] = await Promise.all([
    askIsolator(appliance, signal),
    askTargets(appliance, signal),
    Promise.all(nodes.map((node) => limit(() => askPower(appliance, node, signal)))),
  ]);
  const held = heldSince();
  return nodes.map((node, index) => {
    const entry = bootEntryOf(appliance.records, node.id);
    const allocation = allocationOf(appliance.records, node.id);
    const found = isolatorOf(appliance, node, isolated);
    const power = powers[index];
    return {
      node,
      busy: held.has(node.id),
      entry,
      owner: allocation?.isolated.project,
      networks: recordedNetworks(appliance, node.id),
      ...(found === undefined ? {} : { isolator: found }),
      target: targetOf(entry, served),
      ...(power === undefined ? {} : { power }),
    };
  });
}

/** The networks that a node's NICs must be in, by the isolator's names. */
export function recordedNetworks(
  { records, networks }: Pick<Appliance, "records" | "networks">,
  node: string,
): NicNetwork[] {
  const allocation = allocationOf(records, node);
  // while it is allocated and boots nothing yet, or no more, an operation is at it
  if (!allocation || !bootEntryOf(records, node)) return [];
  const members = networks
    .membershipsOf(node)
    .map(({ isolated: { nic, network }, channel }) => ({ nic, network, channel }));
  return [{ ...allocation.boot, channel: "native" }, ...members];
}

type Isolated = Map<string, IsolatedNode> | Trouble | undefined;

async function askIsolator(appliance: Appliance, signal: AbortSignal): Promise<Isolated> {
  if (appliance.config.isolation.driver === "none") return undefined;
  try {
    const shown = await appliance.isolator().nodes(signal);
    const isolated = new Map(shown.map((one) => [one.name, one]));
    const ours = appliance.nodes.list().filter((node) => isIsolated(appliance, node));
    const missing = ours.map((node) => isolatorName(appliance, node)).filter((name) => !isolated.has(name));
    await Promise.all(
      missing.map(async (name) => {
        if (await isHidden(appliance, name, signal)) isolated.set(name, { name, project: HIDDEN, nics: [] });
      }),
    );
    return isolated;
  } catch (error) {
    return { trouble: toApplianceError(error) };
  }
}

/** Whether the isolator knows a node that it does not list: it is a project's that it hides. */
async function isHidden(appliance: Appliance, name: string, signal: AbortSignal): Promise<boolean> {
  try {
    await appliance.isolator().node(name, signal);
    return false;
  } catch (error) {
    if (isApplianceError(error, "FORBIDDEN")) return true;
    if (isApplianceError(error, "NOT_FOUND")) return false;
    throw error;
  }
}

/** Whether the isolator must know a node. */
function isIsolated({ records }: Appliance, { id, nics }: NodeRecord): boolean {
  return nics.some(({ port }) => port !== undefined) || allocationOf(records, id) !== undefined;
}

function isolatorName({ records }: Appliance, node: NodeRecord): string {
  return allocationOf(records, node.id)?.isolated.node ?? isolatedName(node);
}

function isolatorOf(appliance: Appliance, node: NodeRecord, isolated: Isolated): NodeStanding["isolator"] {
  if (isolated === undefined || !isIsolated(appliance, node)) return undefined;
  if (!isAnswer(isolated)) return isolated;
  const name = isolatorName(appliance, node);
  const found = isolated.get(name);
  if (!found) {
    const { driver } = appliance.config.isolation;
    return {
      trouble: new ApplianceError("NOT_FOUND", `${driver} does not show a node ${name}`, {
        details: { driver, remedy: `look for it there; ingot node cable ${node.name} corrects its name and ports` },
      }),
    };
  }
  const networks = found.nics.flatMap(({ name: nic, networks }) => networks.map((one) => ({ nic, ...one })));
  return { owner: found.project, networks };
}

async function askTargets(appliance: Appliance, signal: AbortSignal): Promise<Map<string, TargetState[] | Trouble>> {
  const states = appliance.config.networks.map(async ({ name, tgtd }) => {
    const answer = await appliance.targets
      .list(tgtd.control, signal)
      .catch((error) => ({ trouble: toApplianceError(error) }));
    return [name, answer] as const;
  });
  return new Map(await Promise.all(states));
}

function targetOf(entry: BootEntry | undefined, served: Map<string, TargetState[] | Trouble>): boolean | Trouble {
  if (!entry) return false;
  const states = served.get(entry.network) ?? [];
  return isAnswer(states) ? states.some(({ iqn }) => iqn === entry.iqn) : states;
}

async function askPower(
  appliance: Appliance,
  node: NodeRecord,
  signal: AbortSignal,
): Promise<NodeStanding["power"] | undefined> {
  if (node.power.driver !== "ipmi") return undefined;
  const deadline = AbortSignal.timeout(Math.min(BMC_MS, appliance.config.operations.bmcSeconds * 1000));
  try {
    return await appliance.powerOf(node).status(AbortSignal.any([signal, deadline]));
  } catch (error) {
    return { trouble: toApplianceError(error) };
  }
}
