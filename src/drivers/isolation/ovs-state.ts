import { z } from "zod";
import { ApplianceError } from "../../errors.ts";
import { driverFailed } from "../failure.ts";
import type { IsolatedNic } from "./network-isolator.ts";
import type { Ovsdb, OvsdbOperation } from "./ovsdb.ts";

/** In a bridge's external_ids: `ingot-network:NAME` = {"vlan", "project"?}. In a port's: `ingot-project` = who has its node. */
const NETWORK_KEY = "ingot-network:";
const PROJECT_KEY = "ingot-project";
/**
 * The VLAN of a port that is in none: 802.1Q reserves it, so that no network and no switch beyond has it. Ports that are
 * in it carry tagged frames only, and are `protected`: not even frames tagged with it pass between two of them.
 */
const NOWHERE = 4095;

/** `access`: projects that may attach beside the one that it was made for. */
export type OvsNetwork = { name: string; vlan: number; project?: string; access?: string[] };

/** A port as Open vSwitch has it, and what it means. */
export type OvsPort = {
  uuid: string;
  name: string;
  project: string | undefined;
  native: number | undefined;
  tagged: number[];
  /** Whether it carries every VLAN, as ports do that nobody has set up. */
  isOpen: boolean;
  /** The columns as read: what a change of it depends on. */
  read: Record<string, unknown>;
};

export type OvsState = {
  networks: Map<string, OvsNetwork>;
  ports: Map<string, OvsPort>;
  /** Holds while nobody changed the bridge's networks since they were read. */
  networksUnchanged: OvsdbOperation;
};

const Atom = z.tuple([z.literal("uuid"), z.string()]);
const Numbers = z.union([z.int(), z.tuple([z.literal("set"), z.array(z.int())])]);
const Strings = z.tuple([z.literal("map"), z.array(z.tuple([z.string(), z.string()]))]);
const Uuids = z.union([Atom, z.tuple([z.literal("set"), z.array(Atom)])]);
const BridgeRow = z.object({ ports: Uuids, external_ids: Strings });
const PortRow = z.object({
  _uuid: Atom,
  name: z.string(),
  tag: Numbers,
  trunks: Numbers,
  vlan_mode: z.unknown(),
  protected: z.boolean(),
  external_ids: Strings,
});
const NetworkValue = z.object({
  vlan: z.int().min(1).max(4094),
  project: z.string().optional(),
  access: z.array(z.string()).optional(),
});
const GUARDED = ["tag", "trunks", "vlan_mode", "protected", "external_ids"];

/** What the bridge is now, in one transaction. NOT_FOUND without such a bridge. */
export async function readState(ovsdb: Ovsdb, bridge: string, action: string, signal: AbortSignal): Promise<OvsState> {
  const named = [["name", "==", bridge]];
  const [bridges, ports] = await ovsdb.transact(
    [
      { op: "select", table: "Bridge", where: named, columns: ["ports", "external_ids"] },
      { op: "select", table: "Port", where: [], columns: ["_uuid", "name", ...GUARDED] },
    ],
    action,
    signal,
  );
  const row = bridges?.rows?.[0];
  if (!row) {
    throw new ApplianceError("NOT_FOUND", `${action}: Open vSwitch has no bridge ${bridge}`, {
      details: {
        driver: "ovs",
        action,
        remedy: `ovs-vsctl add-br ${bridge}, or name another one in the configuration`,
      },
    });
  }
  try {
    const { ports: uuids, external_ids } = BridgeRow.parse(row);
    const ours = new Set((uuids[0] === "uuid" ? [uuids] : uuids[1]).map(([, uuid]) => uuid));
    const read = (ports?.rows ?? []).map(portOf).filter(({ uuid }) => ours.has(uuid));
    return {
      networks: networksOf(external_ids[1]),
      ports: new Map(read.map((port) => [port.name, port])),
      networksUnchanged: unchanged("Bridge", named, { external_ids }),
    };
  } catch (error) {
    throw driverFailed("ovs", action, `the records on bridge ${bridge} can't be read: ${error}`, {
      details: { remedy: `ovs-vsctl get bridge ${bridge} external_ids, and correct what begins with ingot-` },
      cause: error,
    });
  }
}

function portOf(row: Record<string, unknown>): OvsPort {
  const { _uuid, name, tag, trunks, external_ids, vlan_mode } = PortRow.parse(row);
  const [tags, carried] = [numbers(tag), numbers(trunks)];
  const isAccess = vlan_mode === "access" || (typeof vlan_mode !== "string" && tags.length > 0);
  const native = vlan_mode === "trunk" ? undefined : tags[0];
  return {
    uuid: _uuid[1],
    name,
    project: external_ids[1].find(([key]) => key === PROJECT_KEY)?.[1],
    native,
    tagged: isAccess ? [] : carried.filter((vlan) => vlan !== NOWHERE && vlan !== native),
    isOpen: !isAccess && carried.length === 0,
    read: Object.fromEntries(GUARDED.map((column) => [column, row[column]])),
  };
}

function numbers(column: z.infer<typeof Numbers>): number[] {
  return typeof column === "number" ? [column] : column[1];
}

function networksOf(pairs: [string, string][]): Map<string, OvsNetwork> {
  const networks = new Map<string, OvsNetwork>();
  for (const [key, value] of pairs) {
    if (!key.startsWith(NETWORK_KEY)) continue;
    const name = key.slice(NETWORK_KEY.length);
    const { vlan, project, access } = NetworkValue.parse(JSON.parse(value));
    const owned = { ...(project !== undefined && { project }), ...(access !== undefined && { access }) };
    networks.set(name, { name, vlan, ...owned });
  }
  return networks;
}

/** What an open port is said to be in. */
export const EVERY_VLAN = "every VLAN";

/** The VLAN of a network as `attachmentsOf` names it; undefined where there is no such network. */
export function vlanOf(network: string, networks: Map<string, OvsNetwork>): number | undefined {
  const [, unnamed] = /^vlan\/(\d+)$/.exec(network) ?? [];
  return networks.get(network)?.vlan ?? (unnamed === undefined ? undefined : Number(unnamed));
}

/** The networks of a port. A VLAN that is none of them is told too (`vlan/123`, `every VLAN`): the switch is what counts. */
export function attachmentsOf(port: OvsPort, networks: Map<string, OvsNetwork>): IsolatedNic["networks"] {
  const names = new Map([...networks.values()].map(({ vlan, name }) => [vlan, name]));
  const name = (vlan: number) => names.get(vlan) ?? `vlan/${vlan}`;
  return [
    ...(port.native === undefined ? [] : [{ network: name(port.native), channel: "native" as const }]),
    ...port.tagged.map((vlan) => ({ network: name(vlan), channel: "tagged" as const })),
    ...(port.isOpen ? [{ network: EVERY_VLAN, channel: "tagged" as const }] : []),
  ];
}

/** Fails a transaction when the port is not as it was read. */
export function portUnchanged({ uuid, read }: OvsPort): OvsdbOperation {
  return unchanged("Port", [["_uuid", "==", ["uuid", uuid]]], read);
}

/** Puts a port into these VLANs and no others. */
export function setVlans({ uuid }: OvsPort, native: number | undefined, tagged: number[]): OvsdbOperation {
  const isClosed = native === undefined && tagged.length === 0;
  const mode = native === undefined ? "trunk" : tagged.length === 0 ? "access" : "native-untagged";
  const row = {
    vlan_mode: mode,
    tag: ["set", native === undefined ? [] : [native]],
    trunks: ["set", isClosed ? [NOWHERE] : tagged],
    protected: isClosed,
  };
  return { op: "update", table: "Port", where: [["_uuid", "==", ["uuid", uuid]]], row };
}

/** Writes down who has a port's node. */
export function setProject({ uuid }: OvsPort, project: string | undefined): OvsdbOperation {
  return setKeys("Port", [["_uuid", "==", ["uuid", uuid]]], PROJECT_KEY, project);
}

/** Writes down a network, or that there is none. */
export function setNetwork(
  bridge: string,
  name: string,
  network: Omit<OvsNetwork, "name"> | undefined,
): OvsdbOperation {
  return setKeys("Bridge", [["name", "==", bridge]], `${NETWORK_KEY}${name}`, network && JSON.stringify(network));
}

function unchanged(table: string, where: unknown[], row: Record<string, unknown>): OvsdbOperation {
  return { op: "wait", table, where, columns: Object.keys(row), until: "==", rows: [row], timeout: 0 };
}

function setKeys(table: string, where: unknown[], key: string, value: string | undefined): OvsdbOperation {
  // An insertion leaves a key that is there as it is.
  const mutations: unknown[] = [["external_ids", "delete", ["set", [key]]]];
  if (value !== undefined) mutations.push(["external_ids", "insert", ["map", [[key, value]]]]);
  return { op: "mutate", table, where, mutations };
}
