/** No DHCP of ours: the network's own server sends iPXE to our script, as the README tells its operator. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Boot, Status } from "../../../src/cli/answers.ts";
import { bootStory } from "../../lab/boot-story.ts";
import { buildTinyImage } from "../../lab/image/tiny-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { createRack, type Rack } from "../../lab/rack.ts";
import { ForeignServer } from "../foreign-server.ts";

const STATE = "/var/tmp/ingot-e2e-dhcp-off";
let rack: Rack;

beforeAll(async () => {
  const image = await buildTinyImage({ tag: "dhcp-off" });
  rack = await createRack({
    stateDirectory: STATE,
    name: "mooff",
    control: 404,
    networkConfig: { dhcp: "off", pool: [] },
  });
  await rack.importImage("tiny", image);
  const foreign = new ForeignServer(rack.network);
  await foreign.connect();
  // iPXE itself puts its address in
  await foreign.start("dnsmasq", { file: `http://${rack.addresses[0]}/boot/$\{net0/mac}`, server: rack.addresses[0]! });
}, 120_000);
afterAll(() => destroyEverything(STATE));

it("boots a node that the other server sends to its script", { timeout: 180_000 }, async () => {
  const node = await rack.addNode({ name: "bios", firmware: "bios" });
  await rack.ingot("provision", "bios", "--image", "tiny").catch(async (error) => {
    throw new Error(`${error.message}\n${await bootStory(rack, node)}`);
  });
  const [boot] = await rack.ingotJson<Boot[]>("node", "timeline", "bios");
  expect(boot!.stages.map(({ stage }) => stage)).toEqual([
    ...["power-on", "script", "iscsi-login-firmware", "first-read", "iscsi-login-os", "ready"],
  ]);
  expect((await rack.ingotJson<Status>("status")).networks[0]?.dhcp).toMatchObject({ role: "off" });
});
