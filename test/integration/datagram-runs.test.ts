import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Lines, Namespaces } from "./namespaces.ts";

/**
 *   fi-runs-a                       fi-runs-b
 *     left 10.65.2.1/24 ---------- right 10.65.2.2/24
 */
const LEFT = "fi-runs-a";
const RIGHT = "fi-runs-b";
const PROGRAM = resolve(import.meta.dirname, "programs/send-runs.ts");

let namespaces: Namespaces;
beforeAll(() => {
  namespaces = new Namespaces(LEFT, RIGHT);
  namespaces.cable(
    { namespace: LEFT, interface: "left", addresses: ["10.65.2.1/24"] },
    { namespace: RIGHT, interface: "right", addresses: ["10.65.2.2/24"] },
  );
});
afterAll(() => namespaces?.remove());

/** Sends runs of `count` datagrams of `bytes` bytes, the last one 7 bytes long; answers the sizes that arrived and the system calls. */
async function send(bytes: number, count: number): Promise<{ sizes: number[]; calls: number }> {
  const hear = [process.execPath, resolve(import.meta.dirname, "programs/hear-sizes.ts"), "10.65.2.2", "9999"];
  const lines = new Lines(namespaces.start(RIGHT, hear));
  await lines.next(/^ready$/);
  const command = ["strace", "-f", "-qq", "-e", "trace=sendto,sendmsg", "-e", "signal=none", process.execPath, PROGRAM];
  const words = ["netns", "exec", LEFT, ...command, "10.65.2.1", "10.65.2.2", "9999", String(bytes), String(count)];
  const { stderr, status } = spawnSync("ip", words, { encoding: "utf8", timeout: 60_000 });
  expect(status).toBe(0);
  const sizes = JSON.parse(await lines.next(/^\[/)) as number[];
  return { sizes, calls: stderr.split("\n").filter((line) => /send(to|msg)\(.* = \d+$/.test(line)).length };
}

const sizes = (bytes: number, count: number) => [...Array.from({ length: count - 1 }, () => bytes), 7];

describe("runs of datagrams", () => {
  it.each([
    { bytes: 1472, count: 16, calls: 1 },
    { bytes: 1472, count: 44, calls: 1 },
    { bytes: 1472, count: 89, calls: 3 },
    { bytes: 516, count: 100, calls: 2 },
    { bytes: 12, count: 20, calls: 20 },
    { bytes: 1472, count: 1, calls: 1 },
  ])("of $count times $bytes bytes leave by $calls system calls", async ({ bytes, count, calls }) => {
    expect(await send(bytes, count)).toEqual({ sizes: sizes(bytes, count), calls });
  });

  it("arrive where the path takes no datagram of that size whole", async () => {
    namespaces.run(LEFT, ["ip", "link", "set", "left", "mtu", "1300"]);
    expect(await send(1472, 16)).toEqual({ sizes: sizes(1472, 16), calls: 16 });
    namespaces.run(LEFT, ["ip", "link", "set", "left", "mtu", "1500"]);
  });

  it("arrive where the device leaves all work to the kernel", async () => {
    namespaces.run(LEFT, ["ethtool", "-K", "left", "tx", "off", "tx-udp-segmentation", "off", "gso", "off"]);
    expect((await send(1472, 16)).sizes).toEqual(sizes(1472, 16));
  });
});
