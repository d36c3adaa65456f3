/** GRUB's own network client in the place of our loader: it gets an address and fetches files by TFTP and HTTP, whole. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildTinyImage } from "../../lab/image/tiny-image.ts";
import { destroyEverything } from "../../lab/lab-state.ts";
import { runProgram } from "../../lab/program.ts";
import { createRack, type Rack } from "../../lab/rack.ts";

const STATE = "/var/tmp/ingot-full-grub";
const BOOT_MS = 4 * 60_000;
const FILE = "undionly.kpxe";
const SERVER = "10.77.0.1";
/** In pieces: the firmware's screen is on the same line. */
const SCRIPT = `serial --unit=0 --speed=115200
terminal_output serial
net_bootp
echo GRUB-ADDRESS $net_default_ip .
echo GRUB-TFTP
sha256sum (tftp,${SERVER})/${FILE}
echo GRUB-HTTP
sha256sum (http,${SERVER})/assets/${FILE}
echo GRUB-END
sleep 1000
`;
const MODULES = ["serial", "terminal", "echo", "net", "tftp", "http", "hashsum", "gcry_sha256", "sleep", "normal"];
let rack: Rack;

beforeAll(async () => {
  const image = await buildTinyImage({ tag: "lab" });
  rack = await createRack({
    ...{ stateDirectory: STATE, name: "grub", control: 810 },
    config: { loaders: { bios: "grub.pxe", "uefi-x64": "grub.efi" } },
  });
  const script = join(STATE, "grub.cfg");
  writeFileSync(script, SCRIPT);
  for (const [file, platform, network] of [
    ["grub.efi", "x86_64-efi", "efinet"],
    ["grub.pxe", "i386-pc-pxe", "pxe"],
  ] as const) {
    const to = ["-O", platform, "-o", join(STATE, "assets", file), "-p", "/grub", "-c", script];
    await runProgram("grub-mkimage", [...to, network, ...MODULES]);
  }
  await rack.importImage("tiny", image);
}, 5 * 60_000);
afterAll(() => destroyEverything(STATE));

it.each([
  { name: "uefi", firmware: "uefi", loader: "firmware" },
  { name: "bios", firmware: "bios", loaderSetting: "ours" },
] as const)(
  "$firmware",
  async (options) => {
    const node = await rack.addNode(options);
    await rack.ingot("provision", node.name, "--image", "tiny", "--no-wait");

    const [address] = await node.console.waitForLine(/GRUB-ADDRESS (\S+) \./, BOOT_MS);
    expect(address).toMatch(/10\.77\.0\.1\d\d/);
    await node.console.waitForLine(/GRUB-END/, BOOT_MS);
    const text = (await node.console.lines()).join("\n");
    const sum = createHash("sha256")
      .update(readFileSync(join(STATE, "assets", FILE)))
      .digest("hex");
    const sums = [...text.matchAll(/[0-9a-f]{64}/g)].map(([one]) => one);
    expect(sums, text).toEqual([sum, sum]);
  },
  2 * BOOT_MS,
);
