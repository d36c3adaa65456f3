/** Every way to our script, beside dnsmasq and beside Kea as the servers that give the addresses. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Boot } from "../../../src/cli/answers.ts";
import { bootStory } from "../../lab/boot-story.ts";
import { buildTinyImage } from "../../lab/image/tiny-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { type AddNodeOptions, createRack, type Rack } from "../../lab/rack.ts";
import { ForeignServer } from "../foreign-server.ts";

const STATE = "/var/tmp/ingot-e2e-proxy-matrix";
const WAYS: Record<string, Omit<AddNodeOptions, "name">> = {
  rom: { firmware: "bios", loader: "ipxe" },
  undionly: { firmware: "bios", loader: "ipxe", loaderSetting: "ours" },
  pxe: { firmware: "uefi", loader: "firmware" },
  http: { firmware: "uefi", loader: "http" },
};

let rack: Rack;
let foreign: ForeignServer;

beforeAll(async () => {
  const image = await buildTinyImage({ tag: "proxy-matrix" });
  const networkConfig = { dhcp: "proxy", pool: [] };
  rack = await createRack({ stateDirectory: STATE, name: "momtx", control: 402, networkConfig });
  await rack.importImage("tiny", image);
  foreign = new ForeignServer(rack.network);
  await foreign.connect();
}, 120_000);
afterAll(() => destroyEverything(STATE));

describe.each(["dnsmasq", "kea"] as const)("beside %s", (kind) => {
  beforeAll(async () => {
    await foreign.stop();
    await foreign.start(kind);
  });

  it.each(Object.keys(WAYS))("boots by %s", { timeout: 300_000 }, async (way) => {
    const name = `${way}-${kind === "kea" ? "k" : "d"}`;
    const node = await rack.addNode({ name, ...WAYS[way]! });
    await rack.ingot("provision", name, "--image", "tiny").catch(async (error) => {
      throw new Error(`${error.message}\n${await bootStory(rack, node)}`);
    });
    const [boot] = await rack.ingotJson<Boot[]>("node", "timeline", name);
    expect(boot!.refusals).toEqual([]);
    expect(boot!.stages.map(({ stage }) => stage)).toEqual(expect.arrayContaining(["script", "ready"]));
    await rack.ingot("deprovision", name, "--delete-disk", "--now");
  });
});
