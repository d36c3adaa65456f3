/**
 * UEFI's PXE client, whose first loader stands still: somebody presses reset, the other loader boots the node, and a
 * node that is released and provisioned again begins with it.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Boot, Node } from "../../../src/cli/answers.ts";
import { until } from "../../integration/until.ts";
import { bmcCommand } from "../../lab/bmc-command.ts";
import { bootStory } from "../../lab/boot-story.ts";
import { HALTING_EFI_LOADER } from "../../lab/broken-loaders.ts";
import { buildTinyImage } from "../../lab/image/tiny-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { createRack, type Rack } from "../../lab/rack.ts";

const STATE = "/var/tmp/ingot-full-loader-memory";

let rack: Rack;

beforeAll(async () => {
  const image = await buildTinyImage({ tag: "loader-memory" });
  const config = { loaders: { "uefi-x64": ["halts.efi", "snponly.efi"] } };
  rack = await createRack({ stateDirectory: STATE, name: "lofull", control: 430, config });
  await writeFile(join(STATE, "assets/halts.efi"), HALTING_EFI_LOADER);
  await rack.importImage("tiny", image);
});

afterAll(() => destroyEverything(STATE));

it("UEFI PXE: stuck, reset, up by the other loader, and by that one from then on", {
  timeout: 400_000,
}, async (test) => {
  const node = await rack.addNode({ name: "stuck", firmware: "uefi", loader: "firmware" });
  test.onTestFailed(async () => console.log(await bootStory(rack, node)));
  const given = async () => (await rack.ingotJson<Node>("node", "show", node.name)).lastLoader;
  const fetched = async () => {
    const [boot] = await rack.ingotJson<Boot[]>("node", "timeline", node.name);
    return boot?.stages.find(({ stage }) => stage === "boot-file")?.file;
  };

  await rack.ingot("provision", node.name, "--image", "tiny", "--no-wait");
  await until("the loader is fetched", async () => (await fetched()) === "halts.efi", 90_000);
  await bmcCommand(rack.network, node, ["chassis", "power", "reset"]);
  await node.console.waitForLine(/INGOT-UP .* count=1 /, 150_000);
  expect(await given()).toEqual({ file: "snponly.efi", why: "halts.efi led nowhere in the last attempt" });
  await until(
    "the node is free",
    async () => (await rack.ingotJson<Node>("node", "show", node.name)).operation === undefined,
  );

  await rack.ingot("deprovision", node.name, "--delete-disk", "--now");
  await rack.ingot("provision", node.name, "--image", "tiny");
  expect(await given()).toEqual({ file: "snponly.efi", why: "it worked in an earlier boot" });
  expect(await fetched()).toBe("snponly.efi");
});
