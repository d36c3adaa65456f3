/**
 * One ingotd serves two provisioning networks at once, with a tgtd for each: a node on each boots, and nothing of the
 * one is seen, given out or open on the other.
 *
 *   ingot-hdetwo:  prov0 10.77.0.1 --- node left
 *                        `--- veth --- ingot-hdetwo-spy: 10.77.0.250, which sends what is for prov1 to 10.77.0.1
 *                  prov1 10.77.1.1 --- node right
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Disk, Lease } from "../../src/cli/answers.ts";
import { createStorageClient } from "../../src/storaged/client.ts";
import { bootStory } from "../lab/boot-story.ts";
import { buildTinyImage } from "../lab/image/tiny-image.ts";
import { destroyEverything, destroyNamespace, recordNamespace } from "../lab/lab-state.ts";
import { type PacketCapture, startCapture } from "../lab/packet-capture.ts";
import { runProgram } from "../lab/program.ts";
import { createRack, type Rack, type RackNode } from "../lab/rack.ts";

const STATE = "/var/tmp/ingot-e2e-two-networks";
const SPY = "ingot-hdetwo-spy";
/** curl's status: no connection, or no answer in time. */
const UNANSWERED = /^failed: .* ended with (7|28): /;

let rack: Rack;
/** A node on each network, and all that crosses it. */
let sides: { node: RackNode; disk: Disk; address: string; capture: PacketCapture }[];

beforeAll(async () => {
  const image = await buildTinyImage({ tag: "two-networks" });
  rack = await createRack({ stateDirectory: STATE, name: "hdetwo", control: 710, networks: 2 });
  await rack.importImage("tiny", image);
  await addSpy();
  sides = await Promise.all([boot("left", 0), boot("right", 1)]);
}, 300_000);

afterAll(() => destroyEverything(STATE));

async function addSpy(): Promise<void> {
  await recordNamespace(STATE, SPY);
  await destroyNamespace(SPY);
  const ip = (...words: string[]) => runProgram("ip", ["-n", SPY, ...words]);
  await runProgram("ip", ["netns", "add", SPY]);
  await rack.network.run(["ip", "link", "add", "to-spy", "type", "veth", "peer", "name", "nic", "netns", SPY]);
  await rack.network.run(["ip", "link", "set", "to-spy", "master", "prov0", "up"]);
  await ip("address", "add", "10.77.0.250/24", "dev", "nic");
  await ip("link", "set", "nic", "up");
  await ip("route", "add", "10.77.1.0/24", "via", "10.77.0.1");
}

/** Runs a program at the spy's; answers its output, also when it fails. */
const spy = (program: string, ...args: string[]) =>
  runProgram("nsenter", [`--net=/run/netns/${SPY}`, "--", program, ...args]).catch(
    (error) => `failed: ${error.message}`,
  );

/** BOOTP's chaddr (RFC 951), whoever sent the packet. */
function about(mac: string): string {
  const hex = mac.replaceAll(":", "");
  return `(ether host ${mac} or (udp port 67 and udp[36:4] = 0x${hex.slice(0, 8)} and udp[40:2] = 0x${hex.slice(8)}))`;
}

async function boot(name: string, network: number): Promise<(typeof sides)[number]> {
  const capture = await startCapture(rack.network, { name: `capture-${name}`, interface: `prov${network}` });
  const node = await rack.addNode({ name, firmware: "bios", network });
  await rack.ingot("provision", name, "--image", "tiny").catch(async (error) => {
    throw new Error(`${error.message}\n${await bootStory(rack, node)}`);
  });
  const disk = (await rack.ingotJson<Disk[]>("disk", "list")).find((one) => one.name.startsWith(name));
  const lease = (await rack.ingotJson<Lease[]>("lease", "list")).find(({ mac }) => mac === node.mac);
  await node.console.waitForLine(/^INGOT-UP /, 1000);
  return { node, disk: disk!, address: lease!.address, capture };
}

describe("two provisioning networks", () => {
  it("give a node each an address of their own", () => {
    const addresses = sides.map(({ address }) => address);
    expect(addresses).toEqual([expect.stringMatching(/^10\.77\.0\./), expect.stringMatching(/^10\.77\.1\./)]);
  });

  it("see no packet of each other", async () => {
    for (const { capture } of sides) await capture.end();
    for (const [index, { node, capture }] of sides.entries()) {
      const other = sides[1 - index]!;
      const answers = `udp src port 67 and ${about(node.mac)}`;
      expect((await capture.list(answers)).length, "its own answers").toBeGreaterThanOrEqual(2);
      expect(await capture.list(about(other.node.mac)), `of ${other.node.name}`).toEqual([]);
      expect(await capture.list(`net 10.77.${1 - index}.0/24`), "of the other's addresses").toEqual([]);
    }
  });

  it("have their targets each in their own tgtd", async () => {
    const storage = createStorageClient(`${STATE}/run/storaged.sock`);
    for (const [index, { disk, address }] of sides.entries()) {
      const targets = await storage.targets.list(rack.control + index, AbortSignal.timeout(5000));
      expect(targets.map(({ iqn, openTo }) => [iqn.split(":").at(-1), openTo])).toEqual([[disk.id, [address]]]);
    }
    storage.close();
  });

  it("keep their scripts to themselves", async () => {
    const { mac } = sides[1]!.node;
    const status = ["-s", "-m", "3", "-w", " %{http_code}"];
    expect(await spy("curl", ...status, `http://10.77.0.1/boot/${mac}`)).toMatch(/is not bound to .* 403$/s);
    const screen = await spy("curl", "-s", "-m", "3", "-A", "iPXE/1.0", `http://10.77.0.1/boot/${mac}`);
    expect(screen).toContain("does not belong to");
    expect(screen).not.toMatch(/sanboot|password/);
  });

  it("answer nothing on the other's address", async () => {
    const fetch = (url: string) => spy("curl", "-sS", "-m", "5", "-o", "/dev/null", url);
    for (const scheme of ["http", "tftp"]) {
      const file = scheme === "http" ? "assets/undionly.kpxe" : "undionly.kpxe";
      expect(await fetch(`${scheme}://10.77.0.1/${file}`), `${scheme} at home`).toBe("");
      expect(await fetch(`${scheme}://10.77.1.1/${file}`), scheme).toMatch(UNANSWERED);
    }
  });

  it("answer nothing to a node's address that was taken on the wrong network", async () => {
    const { node, address } = sides[1]!;
    await runProgram("ip", ["-n", SPY, "address", "add", `${address}/32`, "dev", "nic"]);
    const stolen = ["-sS", "-m", "2", "--interface", address];
    const script = (server: string) => spy("curl", ...stolen, `http://${server}/boot/${node.mac}`);
    expect(await script("10.77.0.1")).toMatch(/^10\.77\.1\.\d+ is not bound to /);
    expect(await script("10.77.1.1")).toMatch(UNANSWERED);
    for (const portal of ["10.77.0.1", "10.77.1.1"]) {
      // what tgtd answers goes to the network where the address belongs
      expect(await spy("curl", ...stolen, `telnet://${portal}:3260`), portal).toMatch(UNANSWERED);
    }
    await runProgram("ip", ["-n", SPY, "address", "delete", `${address}/32`, "dev", "nic"]);
  });

  it("show no target of the other, and let nobody in", async () => {
    const storage = createStorageClient(`${STATE}/run/storaged.sock`);
    const [target] = await storage.targets.list(rack.control + 1, AbortSignal.timeout(5000));
    storage.close();
    for (const portal of ["10.77.0.1", "10.77.1.1"]) {
      expect(await spy("iscsi-ls", `iscsi://${portal}`), portal).toBe("");
      expect(await spy("iscsi-inq", `iscsi://${portal}/${target!.iqn}/1`), portal).toContain(
        portal === "10.77.0.1" ? "Target not found" : "Authentication failure",
      );
    }
  });
});
