import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { networkPlan, startDhcpService } from "./dhcp-service.ts";
import { Namespaces } from "./namespaces.ts";
import { startUdhcpc, writeUdhcpcScript } from "./udhcpc.ts";

/**
 *   hdl-dora-s (server)
 *     left  10.61.1.1/24 ---------- nic 52:54:00:61:00:01  hdl-dora-l (udhcpc)
 *     right 10.61.2.1/24 ---------- nic 52:54:00:61:00:02  hdl-dora-r (udhcpc)
 */
const SERVER = "hdl-dora-s";
const LEFT = "hdl-dora-l";
const RIGHT = "hdl-dora-r";
const LEFT_MAC = "52:54:00:61:00:01";
const RIGHT_MAC = "52:54:00:61:00:02";

describe("the DHCP server and busybox's client", () => {
  let namespaces: Namespaces;
  let directory: string;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "ingot-dhcp-"));
    writeUdhcpcScript(directory);
    namespaces = new Namespaces(SERVER, LEFT, RIGHT);
    for (const [side, peer, net, mac] of [
      ["left", LEFT, "10.61.1", LEFT_MAC],
      ["right", RIGHT, "10.61.2", RIGHT_MAC],
    ] as const) {
      namespaces.cable(
        { namespace: SERVER, interface: side, addresses: [`${net}.1/24`] },
        { namespace: peer, interface: "nic", mac },
      );
    }
  });

  afterEach(async () => {
    await namespaces.stopAll();
    rmSync(join(directory, "state"), { recursive: true, force: true });
    for (const peer of [LEFT, RIGHT]) namespaces.run(peer, ["ip", "addr", "flush", "dev", "nic"]);
  });
  afterAll(async () => {
    await namespaces.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  const serve = (networks: object[], nodes: object[] = []) =>
    startDhcpService(namespaces, SERVER, directory, { networks, nodes });
  const client = (namespace: string, ...words: string[]) => startUdhcpc(namespaces, namespace, directory, ...words);

  it("gives an address with the network's parameters, and renews it", async () => {
    const server = await serve([networkPlan("left", "10.61.1", 1)]);
    const { child, lines } = client(LEFT);
    expect(await lines.next(/^bound/)).toBe(
      "bound 10.61.1.100 mask=255.255.255.0 router=10.61.1.254 dns=10.61.9.9 domain=rack.example lease=600 server=10.61.1.1 message=",
    );
    const [first] = await server.leases();
    expect(first).toMatchObject({ address: "10.61.1.100", mac: LEFT_MAC, state: "bound" });
    child.kill("SIGUSR1");
    expect(await lines.next(/^renew/)).toMatch(/^renew 10\.61\.1\.100 /);
    const [second] = await server.leases();
    expect(second!.expiresAt).toBeGreaterThan(first!.expiresAt);
  });

  it("takes an address back when the client releases it", async () => {
    const server = await serve([networkPlan("left", "10.61.1", 1)]);
    const { child, lines } = client(LEFT);
    await lines.next(/^bound/);
    child.kill("SIGUSR2");
    await server.lines.next(/dhcp: released/);
    expect(await server.leases()).toEqual([]);
  });

  it("keeps a pinned address through a release", async () => {
    const server = await serve([networkPlan("left", "10.61.1", 1)]);
    const pinned = (await server.ask(`pin ${LEFT_MAC} left`, /^pinned/)).split(" ")[1];
    const { child, lines } = client(LEFT);
    expect(await lines.next(/^bound/)).toContain(`bound ${pinned} `);
    child.kill("SIGUSR2");
    await server.lines.next(/dhcp: release ignored/);
    expect(await server.leases()).toMatchObject([{ address: pinned, mac: LEFT_MAC, state: "pinned" }]);
    await server.ask(`unpin ${LEFT_MAC} left`, /^unpinned/);
    expect(await server.leases()).toEqual([]);
  });

  it("keeps leases over a restart", async () => {
    const before = await serve([networkPlan("left", "10.61.1", 1)]);
    const { child, lines } = client(LEFT);
    await lines.next(/^bound/);
    const [lease] = await before.leases();
    before.child.kill("SIGKILL");
    const after = await serve([networkPlan("left", "10.61.1", 1)]);
    expect(await after.leases()).toEqual([lease]);
    child.kill("SIGUSR1");
    expect(await lines.next(/^renew/)).toContain(lease!.address);
  });

  it("serves two networks at once, and no answer crosses", async () => {
    const server = await serve([networkPlan("left", "10.61.1", 1), networkPlan("right", "10.61.2", 2)]);
    const clients = [client(LEFT), client(RIGHT)];
    const bound = await Promise.all(clients.map(({ lines }) => lines.next(/^bound/)));
    expect(bound.map((line) => line.split(" ")[1])).toEqual(["10.61.1.100", "10.61.2.100"]);
    // in no order: they come at once
    expect((await server.leases()).map(({ network, mac }) => [network, mac]).sort()).toEqual([
      ["left", LEFT_MAC],
      ["right", RIGHT_MAC],
    ]);
  });

  it("refuses to renew what an operator has moved, and gives the reserved address", async () => {
    const before = await serve([networkPlan("left", "10.61.1", 1)]);
    const { child, lines } = client(LEFT);
    expect(await lines.next(/^bound/)).toMatch(/^bound 10\.61\.1\.100 /);
    before.child.kill("SIGKILL");
    const nics = [{ mac: LEFT_MAC, network: "left", role: "boot", address: "10.61.1.50" }];
    const after = await serve([networkPlan("left", "10.61.1", 1)], [{ id: "node-1", name: "node1", nics }]);
    child.kill("SIGUSR1");
    expect(await lines.next(/^nak/)).toContain("message=address not available");
    expect(await lines.next(/^bound/)).toMatch(/^bound 10\.61\.1\.50 /);
    expect(await after.leases()).toMatchObject([{ address: "10.61.1.50", mac: LEFT_MAC }]);
  });

  it("puts an address aside that the client found in use", async () => {
    namespaces.run(SERVER, ["ip", "addr", "add", "10.61.1.100/32", "dev", "left"]);
    try {
      const server = await serve([networkPlan("left", "10.61.1", 1)]);
      const { lines } = client(LEFT, "-a");
      expect(await lines.next(/^bound/)).toMatch(/^bound 10\.61\.1\.101 /);
      await server.lines.next(/dhcp: declined/);
      expect(await server.leases()).toMatchObject([
        { address: "10.61.1.100", state: "declined" },
        { address: "10.61.1.101", state: "bound" },
      ]);
    } finally {
      namespaces.run(SERVER, ["ip", "addr", "del", "10.61.1.100/32", "dev", "left"]);
    }
  });
});
