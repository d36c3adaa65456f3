import { afterAll, beforeAll, expect, it } from "vitest";
import { decodeDhcp } from "../../src/wire/dhcp/decode.ts";
import { dhcpPacket } from "../fixtures/dhcp-packets.ts";
import { bootEntry } from "../unit/boot/boot-fixtures.ts";
import { networkPlan } from "./dhcp-service.ts";
import { Lines, Namespaces } from "./namespaces.ts";

/**
 *   mo-pr-s (proxy)                 mo-pr-r (dnsmasq as relay)             mo-pr-c (a machine)
 *     left 10.64.0.1/24 ------ uplink 10.64.0.254/24
 *                              downlink 10.64.5.254/24 -------------------- nic
 */
const [SERVER, RELAY, CLIENT] = ["mo-pr-s", "mo-pr-r", "mo-pr-c"];
const MAC = "52:54:00:aa:00:01";
let namespaces: Namespaces;

beforeAll(() => {
  namespaces = new Namespaces(SERVER, RELAY, CLIENT);
  namespaces.cable(
    { namespace: SERVER, interface: "left", addresses: ["10.64.0.1/24"] },
    { namespace: RELAY, interface: "uplink", addresses: ["10.64.0.254/24"] },
  );
  namespaces.cable(
    { namespace: RELAY, interface: "downlink", addresses: ["10.64.5.254/24"] },
    { namespace: CLIENT, interface: "nic" },
  );
  namespaces.run(SERVER, ["ip", "route", "add", "10.64.5.0/24", "via", "10.64.0.254"]);
  namespaces.run(RELAY, ["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
});
afterAll(() => namespaces.remove());

it("a proxy's offer comes back through dnsmasq's relay, with a boot token in the script's URL", async () => {
  const none = { pool: [], router: undefined, dns: [], domain: undefined };
  const argument = JSON.stringify({
    network: networkPlan("left", "10.64.0", 1, {
      ...{ dhcp: "proxy", ...none },
      relayedSubnets: [{ subnet: "10.64.5.0/24" }],
    }),
    nodes: [{ id: "node-1", name: "node1", nics: [{ mac: MAC, role: "boot", network: "left" }] }],
    entries: [bootEntry({ mac: MAC as never, network: "left" })],
  });
  const modes = `${import.meta.dirname}/programs/serve-modes.ts`;
  await new Lines(namespaces.start(SERVER, [process.execPath, modes, argument])).next(/^ready$/);
  const words = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file="];
  const relay = ["dnsmasq", ...words, "--log-facility=-", "--dhcp-relay=10.64.5.254,10.64.0.1"];
  await new Lines(namespaces.start(RELAY, relay), "stderr").next(/DHCP relay from 10\.64\.5\.254/);

  const ask = `${import.meta.dirname}/programs/ask-dhcp.ts`;
  const packets = [dhcpPacket("ipxe-rom-discover").bytes.toString("hex")];
  const question = JSON.stringify({ interface: "nic", from: 68, to: "255.255.255.255", port: 67, packets });
  const line = await new Lines(namespaces.start(CLIENT, [process.execPath, ask, question])).next(/^reply/);
  const offer = decodeDhcp(Buffer.from(line.split(" ")[2]!, "hex"));
  expect(offer).toMatchObject({ yiaddr: "0.0.0.0", giaddr: "10.64.5.254", siaddr: "10.64.0.1" });
  expect(offer.file).toMatch(/^http:\/\/10\.64\.0\.1\/boot\/52:54:00:aa:00:01\?token=[\w-]{22}$/);
});
