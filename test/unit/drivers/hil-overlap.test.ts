import { afterEach, expect, it } from "vitest";
import { HilIsolator } from "../../../src/drivers/isolation/hil.ts";
import { HilClient } from "../../../src/drivers/isolation/hil-client.ts";
import type { Attachment } from "../../../src/drivers/isolation/network-isolator.ts";
import { type HilRack, startHilRack } from "../../fakes/hil/rack.ts";
import { until } from "../../integration/until.ts";

/** HIL's actions take seconds, until its daemon comes round: those of a rack are under way all at once. */

const NODES = 24;
let rack: HilRack;
afterEach(() => rack.stop());

it(`has the actions of ${NODES} nodes done in one round of HIL's daemon`, { timeout: 60_000 }, async () => {
  rack = await startHilRack({ nodes: NODES });
  const signal = AbortSignal.timeout(50_000);
  const hil = new HilIsolator(new HilClient(rack.account, { callSeconds: 10 }), { actionSeconds: 40, pollMs: 20 });
  const { world, daemon } = rack.hil;
  const names = [...world.nodes.keys()];
  const attachment = (node: string): Attachment => ({ node, nic: "eth0", network: "prov", channel: "native" });
  const pending = () => [...world.nics()].filter(({ nic }) => nic.action?.status === "PENDING").length;
  daemon.start();
  const inOneRound = async (change: (node: string) => Promise<void>) => {
    let done = 0;
    const changes = Promise.all(names.map((name) => change(name).then(() => done++)));
    changes.catch(() => {});
    await until("every node's action is with HIL", () => pending() === NODES, 30_000);
    expect(done).toBe(0);
    await daemon.round();
    await changes;
  };

  await Promise.all(names.map((name) => hil.allocate(name, "p", signal)));
  await inOneRound((name) => hil.ensureAttached(attachment(name), signal));
  const attached = [...world.nics()].filter(({ nic }) => nic.networks.get("vlan/native") === "prov");
  expect(attached).toHaveLength(NODES);
  await inOneRound((name) => hil.ensureDetached(attachment(name), signal));
  expect([...world.nics()].flatMap(({ nic }) => [...nic.networks])).toEqual([]);
});
