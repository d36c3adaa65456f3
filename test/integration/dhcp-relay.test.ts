import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { networkPlan, startDhcpService } from "./dhcp-service.ts";
import { Lines, Namespaces } from "./namespaces.ts";
import { startUdhcpc, writeUdhcpcScript } from "./udhcpc.ts";

/**
 *   hdl-rly-s (server)     hdl-rly-r (dnsmasq as relay, router)     hdl-rly-c (udhcpc)
 *     left 10.62.0.1/24 ------ uplink 10.62.0.254/24
 *                              downlink 10.62.5.254/24 ---------------- nic 52:54:00:62:00:01
 */
const SERVER = "hdl-rly-s";
const RELAY = "hdl-rly-r";
const CLIENT = "hdl-rly-c";
const MAC = "52:54:00:62:00:01";

describe("the DHCP server behind dnsmasq's relay", () => {
  let namespaces: Namespaces;
  let directory: string;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "ingot-relay-"));
    writeUdhcpcScript(directory);
    namespaces = new Namespaces(SERVER, RELAY, CLIENT);
    namespaces.cable(
      { namespace: SERVER, interface: "left", addresses: ["10.62.0.1/24"] },
      { namespace: RELAY, interface: "uplink", addresses: ["10.62.0.254/24"] },
    );
    namespaces.cable(
      { namespace: RELAY, interface: "downlink", addresses: ["10.62.5.254/24"] },
      { namespace: CLIENT, interface: "nic", mac: MAC },
    );
    namespaces.run(SERVER, ["ip", "route", "add", "10.62.5.0/24", "via", "10.62.0.254"]);
    namespaces.run(RELAY, ["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  });

  afterAll(async () => {
    await namespaces.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  it("gives an address of the relay's subnet, and renews it for the client that asks directly", async () => {
    const relayed = {
      subnet: "10.62.5.0/24",
      pool: [{ from: "10.62.5.20", to: "10.62.5.29" }],
      router: "10.62.5.254",
    };
    const networks = [networkPlan("left", "10.62.0", 1, { relayedSubnets: [relayed] })];
    const server = await startDhcpService(namespaces, SERVER, directory, { networks });
    const words = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file="];
    const relay = namespaces.start(RELAY, [
      "dnsmasq",
      ...words,
      "--log-facility=-",
      "--dhcp-relay=10.62.5.254,10.62.0.1",
    ]);
    await new Lines(relay, "stderr").next(/DHCP relay from 10\.62\.5\.254 to 10\.62\.0\.1/);

    const { child, lines } = startUdhcpc(namespaces, CLIENT, directory);
    expect(await lines.next(/^bound/)).toMatch(/^bound 10\.62\.5\.20 mask=255\.255\.255\.0 router=10\.62\.5\.254 /);
    expect(await server.leases()).toMatchObject([{ address: "10.62.5.20", mac: MAC, network: "left" }]);
    relay.kill();
    child.kill("SIGUSR1");
    expect(await lines.next(/^renew/)).toMatch(/^renew 10\.62\.5\.20 /);
  });
});
