/** `npm run lab -- --once` with more nodes than boot at a time, by both firmwares, and with the full Debian. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { destroyEverything } from "../../lab/lab-state.ts";
import { expectNothingLeft, runLabOnce } from "../lab-command.ts";

const PLACE = { state: "/var/tmp/ingot-full-lab", name: "hdglab" };
const MINUTE_MS = 60_000;
const FROM_DISK = ["iscsi-login-firmware", "first-read", "iscsi-login-os", "ready"];
const STAGES = {
  bios: ["power-on", "dhcp-ipxe", "script", ...FROM_DISK],
  uefi: ["power-on", "dhcp-firmware", "boot-file", "dhcp-ipxe", "script", ...FROM_DISK],
};

beforeAll(() => destroyEverything(PLACE.state));
afterAll(() => destroyEverything(PLACE.state));

it.for(["bios", "uefi"] as const)(
  "boots four %s nodes and tells of each",
  {
    timeout: 30 * MINUTE_MS,
  },
  async (firmware) => {
    const { nodes } = await runLabOnce(PLACE, "--nodes", "4", "--firmware", firmware);
    expect(nodes.map(({ node }) => node)).toEqual(["node-1", "node-2", "node-3", "node-4"]);
    for (const node of nodes) {
      expect(node.firmware).toBe(firmware);
      expect(node.stages.map(({ stage }) => stage)).toEqual(STAGES[firmware]);
      expect(node.readySeconds).toBe(node.stages.at(-1)?.seconds);
      expect(node.cost.readBytes).toBeGreaterThan(10_000_000);
    }
    expectNothingLeft(PLACE);
  },
);

it("builds a Debian and boots that by UEFI", { timeout: 60 * MINUTE_MS }, async () => {
  const { nodes } = await runLabOnce(PLACE, "--image", "debian", "--firmware", "uefi");
  expect(nodes).toMatchObject([{ node: "node-1", firmware: "uefi" }]);
  expect(nodes[0]?.stages.map(({ stage }) => stage)).toEqual(STAGES.uefi.toSpliced(-2, 0, "dhcp-os"));
  expect(nodes[0]?.cost.diskBytes).toBeGreaterThan(1_000_000_000);
  expectNothingLeft(PLACE);
});
