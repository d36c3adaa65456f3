/** Boots that are broken on purpose: the provision that waited in vain says what was seen last, and what to look at. */
import { open, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Node } from "../../../src/cli/answers.ts";
import { createTgtClient } from "../../../src/drivers/targets/tgt-client.ts";
import { parseTargets } from "../../../src/drivers/targets/tgt-text.ts";
import { bootStory } from "../../lab/boot-story.ts";
import { buildTinyImage } from "../../lab/image/tiny-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { runProgram } from "../../lab/program.ts";
import { createRack, type Rack, type RackNode } from "../../lab/rack.ts";

const STATE = "/var/tmp/ingot-e2e-stalls-full";
const CONTROL = 464;
const LOGIN_SECONDS = 60;

let rack: Rack;
let node: RackNode;
let image: string;

beforeAll(async () => {
  await destroyEverything(STATE);
  image = await buildTinyImage({ tag: "stalls" });
  rack = await createRack({
    stateDirectory: STATE,
    name: "stallful",
    control: CONTROL,
    // one loader alone: the second would be tried after the first boot that came to nothing
    config: { operations: { loginSeconds: LOGIN_SECONDS }, loaders: { bios: "undionly.kpxe" } },
  });
  await rack.importImage("tiny", image);
  await rack.importImage("no-iscsi", await withoutInit());
  // a ROM's iPXE that is told to chain ours comes through every stage
  node = await rack.addNode({ name: "node-1", firmware: "bios", loaderSetting: "ours" });
});
afterEach(async ({ task }) => {
  if (task.result?.state === "fail") console.log(await bootStory(rack, node));
});
afterAll(() => destroyEverything(STATE));

/** The image, its kernel told to start a program that its initramfs does not have: it never comes to iSCSI. */
async function withoutInit(): Promise<string> {
  const copy = join(STATE, "no-iscsi.raw");
  await runProgram("cp", ["--sparse=always", image, copy]);
  const file = await open(copy, "r+");
  try {
    const content = await readFile(copy);
    for (let at = content.indexOf("net.ifnames=0"); at >= 0; at = content.indexOf("net.ifnames=0", at + 1)) {
      await file.write("rdinit=/nosuc", at);
    }
  } finally {
    await file.close();
  }
  return copy;
}

const nft = (line: string) => rack.network.run(["nft", line]);
const asset = (name: string) => join(STATE, "assets", name);
const ask = createTgtClient();

/** Gives the account of the node's target another secret: the watch over targets can't see that. */
async function changeSecret(): Promise<void> {
  const signal = AbortSignal.timeout(30_000);
  for (;;) {
    const [target] = parseTargets(await ask(CONTROL, { mode: "target", operation: "show" }, signal));
    const user = target?.incoming[0];
    const isThere = (await rack.ingotJson<Node>("node", "show", node.name)).boots !== undefined;
    if (!target || !user || !isThere) continue;
    await ask(CONTROL, { mode: "account", operation: "delete", parameters: { user } }, signal);
    await ask(CONTROL, { mode: "account", operation: "new", parameters: { user, password: "another-secret" } }, signal);
    const bind = {
      mode: "account",
      operation: "bind",
      tid: target.tid,
      direction: "incoming",
      parameters: { user },
    } as const;
    await ask(CONTROL, bind, signal);
    return;
  }
}

type Broken = {
  image?: string;
  meanwhile?: () => Promise<unknown>;
  break?: () => Promise<unknown>;
  mend?: () => Promise<unknown>;
};

describe("a provision that waits in vain", () => {
  it.each<[string, RegExp, RegExp, () => Broken]>([
    [
      "when no packet comes to the HTTP server",
      /has 10\.77\.0\.\d+, asks for no script/,
      /can't reach http:\/\/10\.77\.0\.1:80\/\? let tcp port 80 in on prov0/,
      () => ({
        break: async () => {
          await nft("add table inet broken");
          await nft("add chain inet broken input { type filter hook input priority 0; }");
          await nft("add rule inet broken input iifname prov0 tcp dport 80 drop");
        },
        mend: () => nft("delete table inet broken"),
      }),
    ],
    [
      "when the loader hangs",
      /undionly\.kpxe fetched, no request of an iPXE since/,
      /does not run on its firmware \(bios\)\? name another one/,
      () => ({
        break: async () => {
          await rename(asset("undionly.kpxe"), asset("saved"));
          // cli; hlt; jmp back to the hlt
          await writeFile(
            asset("undionly.kpxe"),
            Buffer.concat([Buffer.from("faf4ebfd", "hex"), Buffer.alloc(70_000)]),
          );
        },
        mend: () => rename(asset("saved"), asset("undionly.kpxe")),
      }),
    ],
    [
      "when the secret is another one",
      /script sent, no iSCSI login/,
      /its CHAP secret is not the target's\? take the disk up anew/,
      () => ({ meanwhile: changeSecret }),
    ],
    [
      "when the OS has no iSCSI",
      /iPXE read its disk, its OS does not log in/,
      /initramfs does not bring up iSCSI from the iBFT\? in the image: open-iscsi/,
      () => ({ image: "no-iscsi" }),
    ],
  ])("%s", { timeout: 240_000 }, async (_, symptom, remedy, broken) => {
    const { image: name = "tiny", break: damage, mend, meanwhile } = broken();
    try {
      await damage?.();
      const provision = rack.ingot("provision", node.name, "--image", name).then(
        () => "it went well",
        (error: Error) => error.message,
      );
      await meanwhile?.();
      const said = await provision;
      expect(said).toMatch(symptom);
      expect(said).toMatch(remedy);
    } finally {
      await mend?.();
    }
    // what was ended is over: nothing stands still any more
    expect((await rack.ingotJson<Node>("node", "show", node.name)).stall).toBeUndefined();
  });
});
