import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { LeaseRecord } from "../../src/leases/lease.ts";
import { Lines, Namespaces } from "./namespaces.ts";

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

function network(side: "left" | "right", net: string, control: number, more: object = {}) {
  return {
    name: side,
    interface: side,
    address: `${net}.1`,
    subnet: `${net}.0/24`,
    pool: [{ from: `${net}.100`, to: `${net}.199` }],
    router: `${net}.254`,
    dns: ["10.61.9.9"],
    domain: "rack.example",
    leaseSeconds: 600,
    portals: [{ address: `${net}.1` }],
    tgtd: { control },
    ...more,
  };
}

/** Prints what udhcpc learned, and puts the address on the interface as a real one would. */
const SCRIPT = `#!/bin/sh
case "$1" in
  deconfig) ip addr flush dev "$interface" ;;
  bound|renew) ip addr replace "$ip/$mask" brd + dev "$interface" ;;
esac
echo "$1 $ip mask=$subnet router=$router dns=$dns domain=$domain lease=$lease server=$serverid message=$message"
`;

describe("the DHCP server and busybox's client", () => {
  let namespaces: Namespaces;
  let directory: string;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "ingot-dhcp-"));
    writeFileSync(join(directory, "script"), SCRIPT, { mode: 0o755 });
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

  async function serve(...networks: object[]) {
    const plan = JSON.stringify({ stateDirectory: join(directory, "state"), networks });
    const child = namespaces.start(SERVER, [process.execPath, `${import.meta.dirname}/programs/serve-dhcp.ts`, plan]);
    const lines = new Lines(child);
    await lines.next(/^ready$/);
    const ask = async (question: string, answer: RegExp) => {
      child.stdin?.write(`${question}\n`);
      return lines.next(answer);
    };
    return {
      child,
      lines,
      ask,
      leases: async () => JSON.parse((await ask("leases", /^leases/)).slice("leases ".length)) as LeaseRecord[],
    };
  }

  /** udhcpc in the foreground: asks every second, thrice. SIGUSR1 renews, SIGUSR2 releases. */
  function client(namespace: string, ...words: string[]) {
    const options = ["-f", "-i", "nic", "-t", "3", "-T", "1", "-A", "1", "-s", join(directory, "script"), "-O", "mtu"];
    const child = namespaces.start(namespace, ["udhcpc", ...options, ...words]);
    return { child, lines: new Lines(child), says: new Lines(child, "stderr") };
  }

  it("gives an address with the network's parameters, and renews it", async () => {
    const server = await serve(network("left", "10.61.1", 1));
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
    const server = await serve(network("left", "10.61.1", 1));
    const { child, lines } = client(LEFT);
    await lines.next(/^bound/);
    child.kill("SIGUSR2");
    await server.lines.next(/dhcp: released/);
    expect(await server.leases()).toEqual([]);
  });

  it("keeps a pinned address through a release", async () => {
    const server = await serve(network("left", "10.61.1", 1));
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
    const before = await serve(network("left", "10.61.1", 1));
    const { child, lines } = client(LEFT);
    await lines.next(/^bound/);
    const [lease] = await before.leases();
    before.child.kill("SIGKILL");
    const after = await serve(network("left", "10.61.1", 1));
    expect(await after.leases()).toEqual([lease]);
    child.kill("SIGUSR1");
    expect(await lines.next(/^renew/)).toContain(lease!.address);
  });

  it("serves two networks at once, and no answer crosses", async () => {
    const server = await serve(network("left", "10.61.1", 1), network("right", "10.61.2", 2));
    const clients = [client(LEFT), client(RIGHT)];
    const bound = await Promise.all(clients.map(({ lines }) => lines.next(/^bound/)));
    expect(bound.map((line) => line.split(" ")[1])).toEqual(["10.61.1.100", "10.61.2.100"]);
    expect((await server.leases()).map(({ network, mac }) => [network, mac])).toEqual([
      ["left", LEFT_MAC],
      ["right", RIGHT_MAC],
    ]);
  });
});
