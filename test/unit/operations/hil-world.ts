import { expect } from "vitest";
import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import { HilIsolator } from "../../../src/drivers/isolation/hil.ts";
import { HilClient } from "../../../src/drivers/isolation/hil-client.ts";
import type { NetworkIsolator } from "../../../src/drivers/isolation/network-isolator.ts";
import { HilPower } from "../../../src/drivers/power/hil.ts";
import type { PowerControl } from "../../../src/drivers/power/power-control.ts";
import { Turns } from "../../../src/drivers/turns.ts";
import { ALLOCATIONS, type AllocationRecord } from "../../../src/nodes/allocation.ts";
import { isolatedName, type NodeRecord } from "../../../src/nodes/node.ts";
import type { NewNode } from "../../../src/nodes/node-registry.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { type HilRack, startHilRack } from "../../fakes/hil/rack.ts";
import { newNode, nothingLeftBehind, World } from "./world.ts";

/** What HIL calls this appliance's project `default`. */
export const PROJECT_IN_HIL = "p";

/** A world whose isolation and power are HIL's and OBMd's, by the drivers over HTTP to their doubles. */
export class HilWorld extends World {
  readonly rack: HilRack;
  readonly #client: HilClient;
  readonly #isolator: HilIsolator;
  readonly #power: { turns: Turns; obmSeconds: number };

  constructor(rack: HilRack, { actionSeconds, callSeconds }: { actionSeconds: number; callSeconds: number }) {
    super();
    this.isolated = true;
    this.rack = rack;
    // the appliance makes its own, of its VLAN
    rack.hil.world.networks.delete("prov");
    this.#client = new HilClient(rack.account, { callSeconds });
    this.#power = { turns: new Turns(), obmSeconds: callSeconds };
    this.#isolator = new HilIsolator(this.#client, { actionSeconds, pollMs: 2 });
  }

  static async make(nodes: string[], { actionSeconds = 3, callSeconds = 1 } = {}): Promise<HilWorld> {
    const nics = Object.fromEntries(nodes.map((name) => [`u-${name}`, ["eth0", "eth1"]]));
    return new HilWorld(await startHilRack({ nodes: nics, daemonMs: 2 }), { actionSeconds, callSeconds });
  }

  protected override isolation(): object {
    return { driver: "hil", hil: { url: this.rack.account.url }, projects: { default: PROJECT_IN_HIL } };
  }

  protected override isolatorOf(): NetworkIsolator {
    return this.#isolator;
  }

  protected override powerOf(appliance: Appliance, node: NodeRecord): PowerControl {
    this.rack.obmd.onPowerOn = (name) => {
      const booting = appliance.nodes.list().find((one) => isolatedName(one) === name);
      // its OS is up a while after the BMC said yes
      if (booting) setImmediate(() => this.boot(appliance, booting.id));
    };
    return new HilPower(isolatedName(node), this.#client, this.#power);
  }

  override async end(): Promise<void> {
    await super.end();
    await this.rack.stop();
  }
}

/** A node of this name, which HIL knows by another. */
export function nodeInHil(name: string, last: number): NewNode {
  const node = newNode(name, last);
  return {
    ...node,
    nics: node.nics.slice(0, 1).map((nic) => ({ ...nic, port: "eth0" })),
    power: { driver: "hil", hilNode: `u-${name}` },
  };
}

/** Fails when records, targets, HIL and OBMd disagree about who has what, or anything is left attached or switched on. */
export function agreesWithHil(appliance: Appliance, world: HilWorld, told: string): void {
  nothingLeftBehind(appliance, world);
  const entries = [...appliance.records.collection<BootEntry>("bootEntries").values()];
  const allocations = appliance.records.collection<AllocationRecord>(ALLOCATIONS);
  expect([...allocations.entries()].map(([id]) => id).sort(), told).toEqual(entries.map(({ node }) => node).sort());
  const { hil, obmd } = world.rack;
  for (const node of appliance.nodes.list()) {
    const there = hil.world.node(isolatedName(node));
    const isProvisioned = allocations.get(node.id) !== undefined;
    expect(there.project, told).toBe(isProvisioned ? PROJECT_IN_HIL : null);
    expect(
      [...there.nics.values()].flatMap(({ networks }) => [...networks]),
      told,
    ).toEqual(isProvisioned ? [["vlan/native", "prov"]] : []);
    for (const { action } of there.nics.values()) expect(action?.status, told).not.toBe("PENDING");
    if (!isProvisioned) expect(there.token, `${told}: the OBM is disabled`).toBeUndefined();
    if (!isProvisioned) expect(obmd.machines.get(there.name)?.power, told).toBe("off");
  }
}
