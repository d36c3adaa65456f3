/**
 * From power-on by IPMI to the OS's marker on the serial console, over iSCSI with CHAP, by every way in which firmware
 * comes to our script; two machines at a time.
 *
 *   BIOS   QEMU's NIC with its iPXE ROM                                       -> script
 *   BIOS   the same ROM, told to load ours first (`loader: ours`): TFTP        -> undionly.kpxe -> script
 *   UEFI   OVMF's PXE client: TFTP                                            -> snponly.efi -> script
 *   UEFI   OVMF's HTTP boot                                                   -> snponly.efi -> script
 *
 * A BIOS PXE ROM that is no iPXE can't run in QEMU: the packets of Intel's and Broadcom's stand in, answered in
 * test/unit/dhcp/answer.test.ts.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Boot, Disk } from "../../src/cli/answers.ts";
import { createStorageClient } from "../../src/storaged/client.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { ISCSI_LOGIN, startCapture } from "../lab/packet-capture.ts";
import { type AddNodeOptions, createRack, type Rack } from "../lab/rack.ts";

const STATE = "/var/tmp/ingot-e2e-boot-paths";
const TO_SCRIPT = ["dhcp-ipxe", "script"];
const FROM_DISK = ["iscsi-login-firmware", "first-read", "iscsi-login-os", "ready"];

let rack: Rack;

beforeAll(async () => {
  const image = await buildTinyImage({ tag: "boot-paths" });
  rack = await createRack({ stateDirectory: STATE, name: "hdeboot", control: 700 });
  await rack.importImage("tiny", image);
});

afterAll(() => destroyEverything(STATE));

type BootPath = {
  title: string;
  node: AddNodeOptions;
  stages: string[];
  /** The loader that is fetched, and the request for it. */
  loader?: { file: string; request: RegExp };
};

const paths: BootPath[] = [
  {
    title: "BIOS, by the iPXE in its NIC's ROM",
    node: { name: "rom", firmware: "bios", loader: "ipxe" },
    stages: ["power-on", ...TO_SCRIPT, ...FROM_DISK],
  },
  {
    title: "BIOS, by our undionly.kpxe over TFTP",
    node: { name: "undionly", firmware: "bios", loader: "ipxe", loaderSetting: "ours" },
    stages: ["power-on", "dhcp-ipxe", "boot-file", "script", ...FROM_DISK],
    loader: { file: "undionly.kpxe", request: /undionly\.kpxe\.octet/ },
  },
  {
    title: "UEFI, by PXE over TFTP",
    node: { name: "uefi-pxe", firmware: "uefi", loader: "firmware" },
    stages: ["power-on", "dhcp-firmware", "boot-file", ...TO_SCRIPT, ...FROM_DISK],
    loader: { file: "snponly.efi", request: /snponly\.efi\.octet/ },
  },
  {
    title: "UEFI, by HTTP boot",
    node: { name: "uefi-http", firmware: "uefi", loader: "http" },
    stages: ["power-on", "dhcp-firmware", "boot-file", ...TO_SCRIPT, ...FROM_DISK],
    loader: { file: "snponly.efi", request: /GET \/assets\/snponly\.efi HTTP/ },
  },
];

describe.concurrent("a node with an empty local disk comes up from its clone", { timeout: 300_000 }, () => {
  it.for(paths)("$title", async ({ node: options, stages, loader }, { onTestFailed }) => {
    const node = await rack.addNode(options);
    onTestFailed(async () => console.log(await bootStory(rack, node)));
    const capture = await startCapture(rack.network, {
      name: `capture-${node.name}`,
      interface: node.network,
      filter: `ether src ${node.mac} and (udp dst port 69 or tcp dst port 80 or ${ISCSI_LOGIN})`,
    });

    await rack.ingot("provision", node.name, "--image", "tiny");

    const [disk] = (await rack.ingotJson<Disk[]>("disk", "list")).filter((one) => one.name.startsWith(node.name));
    const [, marker] = await node.console.waitForLine(/^(INGOT-UP .*)$/, 1000);
    expect(marker).toMatch(new RegExp(`^INGOT-UP root=/dev/sda3 session=session\\d+ target=\\S+:${disk!.id} `));
    expect(marker).toContain(`fw=${options.firmware} count=1 tag=boot-paths mac=${node.mac} `);

    const [boot] = await rack.ingotJson<Boot[]>("node", "timeline", node.name);
    expect(boot!.refusals).toEqual([]);
    expect(boot!.stages.map(({ stage }) => stage)).toEqual(stages);
    const times = boot!.stages.map(({ sinceStartSeconds }) => sinceStartSeconds);
    expect(times).toEqual(times.toSorted((one, other) => one - other));

    await capture.end();
    const fetched = await capture.text("udp dst port 69 or tcp dst port 80");
    const bootFile = boot!.stages.find(({ stage }) => stage === "boot-file");
    if (loader) {
      const { size } = await stat(join(STATE, "assets", loader.file));
      expect(bootFile).toMatchObject({ file: loader.file, bytes: size });
      expect(fetched).toMatch(loader.request);
    }
    const otherWays = paths.flatMap((path) =>
      path.loader && path.loader.request !== loader?.request ? path.loader.request : [],
    );
    for (const request of otherWays) expect(fetched).not.toMatch(request);

    await expectChap(node.name, disk!.id, await capture.text(ISCSI_LOGIN));
    await rack.ingot("deprovision", node.name, "--delete-disk", "--now");
  });
});

/** Every login, iPXE's (two on a BIOS, where booting a hooked disk opens it anew) and the OS's, answered the target's challenge in the name of the one account that opens it. */
async function expectChap(node: string, disk: string, logins: string): Promise<void> {
  const storage = createStorageClient(join(STATE, "run/storaged.sock"));
  const targets = await storage.targets.list(rack.control, AbortSignal.timeout(5000));
  storage.close();
  const target = targets.find(({ iqn }) => iqn.endsWith(`:${disk}`));
  expect(target?.accounts, node).toHaveLength(1);
  const answers = [...logins.matchAll(/CHAP_N=([^.]+)\.CHAP_R=0x[0-9a-f]{32}/gi)].map((match) => match[1]);
  expect(answers.length, node).toBeGreaterThan(1);
  expect(new Set(answers), node).toEqual(new Set(target!.accounts));
}
