import { expect, it } from "vitest";
import { allocationOf } from "../../../src/nodes/allocation.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { attachDisk } from "../../../src/operations/attach-disk.ts";
import { cableNode } from "../../../src/operations/cable-node.ts";
import { deprovision } from "../../../src/operations/deprovision.ts";
import { importImage } from "../../../src/operations/import-image.ts";
import { attachNetwork, detachNetwork } from "../../../src/operations/network-membership.ts";
import { provision } from "../../../src/operations/provision.ts";
import { createNetwork, removeNetwork, shareNetwork } from "../../../src/operations/tenant-network.ts";
import { HilWorld, PROJECT_IN_HIL } from "./hil-world.ts";
import { done, proveProcedures, type Scenario } from "./prove-procedures.ts";
import { isolatedAsRecorded, newNode, nothingLeftBehind, World } from "./world.ts";

const project = "default";

async function withImage(appliance: Appliance): Promise<void> {
  await appliance.nodes.add(newNode("node-1", 1), "test");
  await appliance.nodes.add(newNode("node-2", 2), "test");
  const golden = { project, name: "golden", path: "/import/golden.raw", format: "raw", phonesHome: true } as const;
  await done(appliance, importImage(appliance, golden, "test"));
}

const fromImage = (appliance: Appliance, node: string) => provision(appliance, { node, image: "golden" }, "test");

const scenario = (prepare: Scenario["prepare"], begin: Scenario["begin"]): Scenario => ({
  prepare,
  begin,
  check: async (appliance, world) => {
    nothingLeftBehind(appliance, world);
    await isolatedAsRecorded(appliance, world);
  },
});

async function withProvisioned(appliance: Appliance): Promise<void> {
  await withImage(appliance);
  await done(appliance, fromImage(appliance, "node-1"));
}

async function withNetworks(appliance: Appliance): Promise<void> {
  await withImage(appliance);
  await appliance.projects.add({ name: "blue" }, "test");
  for (const name of ["storage", "backup"]) await done(appliance, createNetwork(appliance, { project, name }, "test"));
}

const attached = (appliance: Appliance) =>
  attachNetwork(appliance, { node: "node-1", nic: "other-1", network: "storage", channel: "native" }, "test");

const isolated = (world: World) => {
  world.isolated = true;
};

proveProcedures(
  {
    "provision behind an isolator": scenario(withImage, (appliance) => fromImage(appliance, "node-1")),
    "provision of a node that its project has": scenario(
      async (appliance, world) => {
        await withImage(appliance);
        await world.isolator.allocate("node-1", project);
        await done(appliance, fromImage(appliance, "node-1"));
        await done(appliance, deprovision(appliance, { node: "node-1", disk: "keep", now: true }, "test"));
      },
      (appliance) => fromImage(appliance, "node-1"),
    ),
    "provision with the disk of another node": scenario(withProvisioned, (appliance) =>
      provision(appliance, { node: "node-2", disk: "node-1-1", forceOff: true }, "test"),
    ),
    "deprovision behind an isolator": scenario(withProvisioned, (appliance) =>
      deprovision(appliance, { node: "node-1", disk: "keep", now: true }, "test"),
    ),
    "provision into networks": scenario(withNetworks, (appliance) =>
      provision(
        appliance,
        {
          ...{ node: "node-1", image: "golden" },
          attach: [
            { nic: "other-1", network: "storage", channel: "native" },
            { nic: "52:54:00:00:00:01", network: "backup", channel: "tagged" },
          ],
        },
        "test",
      ),
    ),
    "deprovision out of networks": scenario(
      async (appliance) => {
        await withNetworks(appliance);
        await done(appliance, fromImage(appliance, "node-1"));
        await done(appliance, attached(appliance));
      },
      (appliance) => deprovision(appliance, { node: "node-1", disk: "keep", now: true }, "test"),
    ),
    "provision with the disk of a node that is in networks": scenario(
      async (appliance) => {
        await withNetworks(appliance);
        await done(appliance, fromImage(appliance, "node-1"));
        await done(appliance, attached(appliance));
      },
      (appliance) => provision(appliance, { node: "node-2", disk: "node-1-1", forceOff: true }, "test"),
    ),
    "create network": scenario(withImage, (appliance) =>
      createNetwork(appliance, { project, name: "storage" }, "test"),
    ),
    "remove network": scenario(withNetworks, (appliance) =>
      removeNetwork(appliance, { project, network: "storage" }, "test"),
    ),
    "share network": scenario(withNetworks, (appliance) =>
      shareNetwork(appliance, "share", { project, network: "storage", projects: ["blue"] }, () => false, "test"),
    ),
    "attach to a network": scenario(async (appliance) => {
      await withNetworks(appliance);
      await done(appliance, fromImage(appliance, "node-1"));
    }, attached),
    "detach from a network": scenario(
      async (appliance) => {
        await withNetworks(appliance);
        await done(appliance, fromImage(appliance, "node-1"));
        await done(appliance, attached(appliance));
      },
      (appliance) => detachNetwork(appliance, { node: "node-1", nic: "other-1", network: "storage" }, "test"),
    ),
    "attach of the disk of another node": scenario(
      async (appliance) => {
        await withProvisioned(appliance);
        await done(appliance, fromImage(appliance, "node-2"));
      },
      (appliance) => attachDisk(appliance, { project, disk: "node-1-1", node: "node-2", forceOff: true }, "test"),
    ),
  },
  isolated,
);

/** Runs a test in a world that isolates nodes. */
async function inWorld(test: (appliance: Appliance, world: World) => Promise<void>): Promise<void> {
  const world = new World();
  isolated(world);
  try {
    await test(await world.start(), world);
  } finally {
    await world.end();
  }
}

/** As somebody does who works on the isolator by hand. */
async function giveToStrangers({ isolator }: World): Promise<void> {
  const [nic] = (await isolator.node("node-1")).nics;
  for (const one of nic!.networks) await isolator.ensureDetached({ node: "node-1", nic: nic!.name, ...one });
  await isolator.free("node-1", project);
  await isolator.allocate("node-1", "strangers");
}

it("leaves a node alone that the isolator has given to others meanwhile", () =>
  inWorld(async (appliance, world) => {
    await withProvisioned(appliance);
    const { id } = appliance.nodes.get("node-1");
    await giveToStrangers(world);
    await done(appliance, deprovision(appliance, { node: "node-1", disk: "delete", now: true }, "test"));
    expect(world.power.get(id)?.state).toBe("on");
    expect((await world.isolator.node("node-1")).project).toBe("strangers");
    expect(allocationOf(appliance.records, id)).toBeUndefined();
  }));

it("takes a disk from a node that the isolator has given to others, and leaves that one on", () =>
  inWorld(async (appliance, world) => {
    await withProvisioned(appliance);
    const { id } = appliance.nodes.get("node-1");
    await giveToStrangers(world);
    await done(appliance, provision(appliance, { node: "node-2", disk: "node-1-1", forceOff: true }, "test"));
    expect(world.power.get(id)?.state).toBe("on");
    expect((await world.isolator.node("node-1")).project).toBe("strangers");
    expect(allocationOf(appliance.records, id)).toBeUndefined();
  }));

it("releases a node out of its networks although, by the isolator, nobody has it any more", () =>
  inWorld(async (appliance, world) => {
    await withProvisioned(appliance);
    const look = world.isolator.node.bind(world.isolator);
    world.isolator.node = async (name) => {
      const { project: _, ...node } = await look(name);
      return node;
    };
    world.isolator.free = async () => {};
    await done(appliance, deprovision(appliance, { node: "node-1", disk: "keep", now: true }, "test"));
    expect((await look("node-1")).nics.flatMap(({ networks }) => networks)).toEqual([]);
  }));

it("takes a NIC out of the network that its project means by a name, not out of another's", () =>
  inWorld(async (appliance) => {
    await withProvisioned(appliance);
    await appliance.projects.add({ name: "blue" }, "test");
    for (const owner of ["blue", project]) {
      await done(appliance, createNetwork(appliance, { project: owner, name: "storage" }, "test"));
    }
    const shared = { project: "blue", network: "storage", projects: [project] };
    await done(
      appliance,
      shareNetwork(appliance, "share", shared, () => true, "test"),
    );
    const nic = { node: "node-1", nic: "other-1" };
    for (const network of ["blue/storage", "storage"]) {
      await done(appliance, attachNetwork(appliance, { ...nic, network, channel: "tagged" }, "test"));
    }
    const owners = () =>
      appliance.networks
        .membershipsOf(appliance.nodes.get("node-1").id)
        .map(({ network }) => appliance.networks.find(network)?.project);
    await done(appliance, detachNetwork(appliance, { ...nic, network: "storage" }, "test"));
    expect(owners()).toEqual(["blue"]);
    await expect(detachNetwork(appliance, { ...nic, network: "storage" }, "test")).rejects.toMatchObject({
      ...{ code: "NOT_FOUND", details: { remedy: expect.stringContaining("ingot node show") } },
    });
    await done(appliance, detachNetwork(appliance, { ...nic, network: "blue/storage" }, "test"));
    expect(owners()).toEqual([]);
  }));

it("begins nothing at a node while it is seen whether its cabling is right, and takes that back whole", () =>
  inWorld(async (appliance, world) => {
    await withImage(appliance);
    const before = appliance.nodes.get("node-1");
    const ports = [{ mac: before.nics[0]!.mac, port: "nowhere" }];
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    const look = world.isolator.node.bind(world.isolator);
    world.isolator.node = (name) => answered.then(() => look(name));
    const cabling = cableNode(appliance, "node-1", { ports });
    await expect(fromImage(appliance, "node-1")).rejects.toMatchObject({ code: "BUSY" });
    await expect(cableNode(appliance, "node-1", { ports })).rejects.toMatchObject({ code: "BUSY" });
    answer();
    await expect(cabling).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(appliance.nodes.get("node-1")).toEqual(before);
    await done(appliance, fromImage(appliance, "node-1"));
  }));

it("shares a network of HIL whose VLAN was asked for, and keeps it for its owner", async () => {
  const world = await HilWorld.make([]);
  try {
    const appliance = await world.start();
    await done(appliance, createNetwork(appliance, { project, name: "storage", vlan: 300 }, "test"));
    const { isolatedAs } = appliance.networks.get(project, "storage");
    await appliance.projects.add({ name: "blue" }, "test");
    const sharing = { project, network: "storage", projects: ["blue", "none"] };
    const access = () => world.rack.hil.world.networks.get(isolatedAs)?.access?.toSorted();
    await done(
      appliance,
      shareNetwork(appliance, "share", sharing, () => false, "test"),
    );
    expect(access()).toEqual(["blue", PROJECT_IN_HIL]);
    await done(
      appliance,
      shareNetwork(appliance, "unshare", sharing, () => false, "test"),
    );
    expect(access()).toEqual([PROJECT_IN_HIL]);
  } finally {
    await world.end();
  }
});
