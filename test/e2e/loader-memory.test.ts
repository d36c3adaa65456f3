/**
 * Loaders that lead nowhere. A node that is stuck behind its first loader gets the other one on its next attempt, and
 * begins with that one from then on, also after a restart of ingotd. A node whose loader resets the machine again and
 * again is held where its screen says so, and comes up once the loader is mended.
 */
import { copyFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Boot, Node, Operation } from "../../src/cli/answers.ts";
import { until } from "../integration/until.ts";
import { bmcCommand } from "../lab/bmc-command.ts";
import { bootStory } from "../lab/boot-story.ts";
import { HALTING_BIOS_LOADER, RESETTING_EFI_LOADER } from "../lab/broken-loaders.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { createRack, type Rack, type RackNode } from "../lab/rack.ts";

const STATE = "/var/tmp/ingot-e2e-loader-memory";
/** No machine is in its ROM again sooner (RESTART_MS in boot-session.ts). */
const RESTART_MS = 15_000;

let rack: Rack;

beforeAll(async () => {
  const image = await buildTinyImage({ tag: "loader-memory" });
  const config = { loaders: { bios: ["halts.0", "undionly.kpxe"], "uefi-x64": ["resets.efi"] } };
  rack = await createRack({ stateDirectory: STATE, name: "loload", control: 420, config });
  await writeFile(join(STATE, "assets/halts.0"), HALTING_BIOS_LOADER);
  await writeFile(join(STATE, "assets/resets.efi"), RESETTING_EFI_LOADER);
  await rack.importImage("tiny", image);
});

afterAll(() => destroyEverything(STATE));

const boots = (node: RackNode) => rack.ingotJson<Boot[]>("node", "timeline", node.name);
/** The loader that the latest boot was given. */
const given = async (node: RackNode) => (await rack.ingotJson<Node>("node", "show", node.name)).lastLoader;

async function fetched(node: RackNode, file: string): Promise<number> {
  const stage = async () => (await boots(node))[0]?.stages.find((one) => one.stage === "boot-file");
  await until(`${node.name} fetches ${file}`, async () => (await stage())?.file === file, 90_000);
  return Date.parse((await stage())!.at);
}

async function settled(operation: Operation): Promise<string> {
  const look = () => rack.ingotJson<Operation>("operation", "show", operation.id);
  const isOver = async () => ["done", "undone", "stuck"].includes((await look()).state);
  await until(`${operation.summary} ends`, isOver, 120_000);
  return (await look()).state;
}

describe.concurrent("a loader that leads nowhere", { timeout: 400_000 }, () => {
  it("is not tried twice: attempt 2 boots by the other one, attempt 3 begins with it", async ({ onTestFailed }) => {
    const node = await rack.addNode({ name: "stuck", firmware: "bios", loader: "ipxe", loaderSetting: "ours" });
    onTestFailed(async () => console.log(await bootStory(rack, node)));
    const operation = await rack.ingotJson<Operation>("provision", node.name, "--image", "tiny", "--no-wait");

    const at = await fetched(node, "halts.0");
    await until("a restart takes as long", () => Date.now() - at > RESTART_MS + 2000, 30_000);
    expect(await given(node)).toEqual({ file: "halts.0" });

    await bmcCommand(rack.network, node, ["chassis", "power", "reset"]);
    await node.console.waitForLine(/INGOT-UP .* count=1 /, 120_000);
    expect(await settled(operation)).toBe("done");
    const second = { file: "undionly.kpxe", why: "halts.0 led nowhere in the last attempt" };
    expect(await given(node)).toEqual(second);
    expect(await rack.ingot("node", "show", node.name)).toContain(`${second.file}: ${second.why}`);

    await rack.end("ingotd", "SIGKILL");
    await rack.startIngotd();
    await rack.ingot("node", "power", node.name, "reset", "--yes");
    await node.console.waitForLine(/INGOT-UP .* count=2 /, 120_000);
    expect(await given(node)).toEqual({ file: "undionly.kpxe", why: "it worked in an earlier boot" });
    const [latest] = await boots(node);
    expect(latest?.stages[0]?.stage).toBe("power-on");
    const files = (await boots(node)).map(({ stages }) => stages.find(({ stage }) => stage === "boot-file")?.file);
    expect(files).toEqual(["undionly.kpxe", "undionly.kpxe", "halts.0"]);
  });

  it("and resets the machine again and again is held on a screen, until it is mended", async ({ onTestFailed }) => {
    const node = await rack.addNode({ name: "loop", firmware: "uefi", loader: "firmware" });
    onTestFailed(async () => console.log(await bootStory(rack, node)));
    const operation = await rack.ingotJson<Operation>("provision", node.name, "--image", "tiny", "--no-wait");

    await node.console.waitForLine(/Ingot: held in a boot loop: ingot node timeline loop/, 240_000);
    const held = await boots(node);
    expect(held[0]?.refusals).toMatchObject([{ reason: "boot-loop" }]);
    expect(held.slice(1).map(({ stages }) => stages.some(({ stage }) => stage === "boot-file"))).toEqual(
      Array.from({ length: 4 }, () => true),
    );

    await rack.ingot("operation", "cancel", operation.id);
    expect(await settled(operation)).toBe("undone");
    const loader = join(STATE, "assets/resets.efi");
    await copyFile(join(STATE, "assets/snponly.efi"), `${loader}.new`);
    await rename(`${loader}.new`, loader);
    await rack.ingot("provision", node.name, "--image", "tiny");
    await node.console.waitForLine(/INGOT-UP /, 1000);
  });
});
