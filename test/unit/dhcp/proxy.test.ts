import { describe, expect, it } from "vitest";
import type { BootDecision } from "../../../src/boot/boot-decision.ts";
import { answerBootServer, answerProxy, type ProxySite } from "../../../src/dhcp/proxy.ts";
import { encodeReply } from "../../../src/dhcp/reply.ts";
import { ANY_IPV4 } from "../../../src/values/ipv4.ts";
import { decodeDhcp } from "../../../src/wire/dhcp/decode.ts";
import { formatDhcp } from "../../../src/wire/dhcp/format.ts";
import { dhcpPacket, dhcpPackets } from "../../fixtures/dhcp-packets.ts";
import { ip, rack } from "../leases/world.ts";
import { request } from "./world.ts";

const LOADER: BootDecision = { kind: "loader", file: "snponly.efi", protocol: "tftp" };
const HTTP_LOADER: BootDecision = { kind: "loader", file: "snponly.efi", protocol: "http" };
const SCRIPT: BootDecision = { kind: "script" };
const FROM = { address: "10.0.0.88", port: 4011, family: "IPv4", size: 0 } as const;

function site(decision: BootDecision, isNode = true): ProxySite {
  const none = { owns: () => false, reports: () => false, ownerOf: () => undefined };
  return {
    network: rack({ dhcp: "proxy" }),
    answers: { answer: () => decision, ...none },
    isNode: () => isNode,
    tokens: { issue: () => "a-token", fits: () => false },
  };
}

const packet = (name: string) => decodeDhcp(dhcpPacket(name).bytes);

/** What goes over the wire, as text without the lines that repeat the question. */
async function wire(name: string, decision: BootDecision, isNode = true): Promise<string[] | string> {
  const message = packet(name);
  const is4011 = name.includes("4011") || name.includes("bootserver");
  const answer = is4011
    ? await answerBootServer(message, { ...FROM, address: message.ciaddr }, site(decision, isNode))
    : await answerProxy(message, site(decision, isNode));
  if (!answer.reply) return answer.reason ?? "";
  const text = formatDhcp(decodeDhcp(encodeReply(message, answer.reply)));
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => !/^(DHCP|chaddr|61 |97 )|^$/.test(line));
}

const COMPLETE = ["54 serverId 10.0.0.1", '60 vendorClass "PXEClient"', "43 vendorSpecific { 6 discoveryControl 8 }"];
const TFTP = ["siaddr 10.0.0.1", 'sname "10.0.0.1"', 'file "snponly.efi"'];
const NAMES = ['66 tftpServerName "10.0.0.1"', '67 bootFileName "snponly.efi"'];

describe("a proxy's offer", () => {
  it.each(["ovmf-pxe-discover", "constructed-intel-boot-agent-discover", "constructed-broadcom-uefi-discover"])(
    "to %s names the loader, and no address",
    async (name) => {
      expect(await wire(name, LOADER)).toEqual(
        expect.arrayContaining(["53 messageType offer", ...TFTP, ...COMPLETE, ...NAMES]),
      );
      expect((await wire(name, LOADER)).toString()).not.toMatch(/yiaddr|leaseSeconds|subnetMask|router/);
    },
  );

  it("names the loader's URL for UEFI HTTP boot", async () => {
    const lines = await wire("ovmf-http-discover", HTTP_LOADER);
    expect(lines).toEqual(
      expect.arrayContaining([
        "53 messageType offer",
        '60 vendorClass "HTTPClient"',
        '67 bootFileName "http://10.0.0.1/assets/snponly.efi"',
      ]),
    );
    expect(lines.toString()).not.toMatch(/yiaddr|vendorSpecific/);
  });

  it.each(["ipxe-rom-discover", "ipxe-undionly-discover", "ipxe-snponly-discover"])(
    "to %s names its script, and hides no proxy",
    async (name) => {
      const lines = await wire(name, SCRIPT);
      expect(lines).toEqual(expect.arrayContaining(["53 messageType offer", "siaddr 10.0.0.1", ...COMPLETE]));
      expect(lines.toString()).toMatch(/file "http:\/\/10\.0\.0\.1\/boot\/52:54:00:aa:00:\d\d"/);
      expect(lines.toString()).not.toMatch(/token|noPxeDhcp|yiaddr/);
    },
  );

  it("sends a node's firmware on to its next boot device, and leaves a stranger's alone", async () => {
    expect((await wire("ovmf-pxe-discover", { kind: "exit" })).toString()).toMatch(/bootMenu 0: "Local boot"/);
    const stranger = await answerProxy(packet("ovmf-pxe-discover"), site({ kind: "exit" }, false));
    expect(stranger.reply).toBeUndefined();
    expect(stranger.events).toMatchObject([{ stage: "dhcp-firmware", client: { firmware: "uefi-x64" } }]);
  });

  it("goes to the relay, by broadcast behind it, with a boot token in the script's URL", async () => {
    const relayed = { ...packet("ipxe-rom-discover"), giaddr: ip("10.0.5.254") };
    const { reply } = await answerProxy(relayed, site(SCRIPT));
    expect(reply).toMatchObject({ giaddr: "10.0.5.254", broadcast: true, yiaddr: ANY_IPV4 });
    expect(reply?.file).toMatch(/\/boot\/52:54:00:aa:00:01\?token=a-token$/);
    const unnamed = await answerProxy({ ...relayed, giaddr: ip("10.99.0.1") }, site(SCRIPT));
    expect(unnamed.reply?.file).toMatch(/\/boot\/52:54:00:aa:00:01$/);
  });

  it("is for machines that boot, whatever else they send", async () => {
    for (const { name, bytes } of dhcpPackets()) {
      const message = decodeDhcp(bytes);
      const { reply } = await answerProxy(message, site(LOADER));
      const boots = /discover$/.test(name) && !/udhcpc|dhclient|windows/.test(name);
      expect([name, reply?.yiaddr]).toEqual([name, boots ? ANY_IPV4 : undefined]);
    }
    for (const type of ["decline", "release", "inform", "nak", undefined] as const) {
      expect((await answerProxy(request(type), site(LOADER))).reply).toBeUndefined();
    }
    expect((await answerProxy({ ...packet("ovmf-pxe-discover"), op: "reply" }, site(LOADER))).reply).toBeUndefined();
  });

  it("is no offer where there is nothing to boot", async () => {
    for (const kind of ["none", "ignore", "hold"] as const) {
      expect(await wire("ovmf-pxe-discover", { kind })).toBe(`nothing to boot: ${kind}`);
    }
  });
});

describe("the timeline behind a proxy", () => {
  it("learns the address from the node's request to the other server", async () => {
    const { reply, events } = await answerProxy(packet("ipxe-rom-request"), site(SCRIPT));
    expect(reply).toBeUndefined();
    expect(events).toMatchObject([{ stage: "dhcp-ipxe", acknowledged: true, address: expect.stringMatching(/^10\./) }]);
    expect((await answerProxy(packet("ipxe-rom-request"), site(SCRIPT, false))).events).toEqual([]);
  });
});

describe("the answer on port 4011", () => {
  it.each(["ovmf-pxe-request-4011", "ipxe-snponly-request-4011"])("to %s is an ACK with what to boot", async (name) => {
    const lines = await wire(name, LOADER);
    expect(lines).toEqual(expect.arrayContaining(["53 messageType ack", "ciaddr 10.97.0.88", ...TFTP, ...NAMES]));
    expect(lines.toString()).not.toMatch(/yiaddr|leaseSeconds/);
  });

  it("goes to where the question came from", async () => {
    const from = { ...FROM, address: "10.97.0.88", port: 68 };
    const asked = await answerBootServer(packet("ovmf-pxe-request-4011"), from, site(LOADER));
    expect(asked).toMatchObject({ to: { address: "10.97.0.88", port: 68 }, address: "10.97.0.88" });
    const nameless = { ...packet("ovmf-pxe-request-4011"), ciaddr: ANY_IPV4 };
    expect((await answerBootServer(nameless, FROM, site(LOADER))).to).toEqual({ address: "10.0.0.88", port: 4011 });
  });

  it("goes to the address that the machine says it has only on our networks", async () => {
    const claiming = { ...packet("ovmf-pxe-request-4011"), ciaddr: ip("10.0.5.88") };
    expect((await answerBootServer(claiming, FROM, site(LOADER))).to?.address).toBe("10.0.5.88");
    const reflecting = { ...claiming, ciaddr: ip("198.51.100.7") };
    const refused = await answerBootServer(reflecting, FROM, site(LOADER));
    expect(refused).toEqual({ outcome: "ignored", reason: "foreign ciaddr", events: [] });
  });

  it("repeats the boot server type that the client has chosen", async () => {
    expect(await wire("constructed-bios-request-bootserver", LOADER)).toEqual(
      expect.arrayContaining(["43 vendorSpecific { 6 discoveryControl 8, 71 bootItem 0 layer 0 }"]),
    );
  });

  it("carries a boot token into the subnets behind relays, and to nobody who asks from elsewhere", async () => {
    const message = packet("ipxe-snponly-request-4011");
    const fileFor = async (ciaddr: string, address = "10.0.0.88") =>
      (await answerBootServer({ ...message, ciaddr: ip(ciaddr) }, { ...FROM, address }, site(SCRIPT))).reply?.file;
    expect(await fileFor("10.0.5.88")).toMatch(/token=a-token$/);
    expect(await fileFor(ANY_IPV4, "10.0.5.88")).toMatch(/token=a-token$/);
    for (const from of ["10.0.0.88", "10.99.0.88"]) {
      expect(await fileFor(from, from)).toMatch(/\/boot\/[0-9a-f:]+$/);
      expect(await fileFor(ANY_IPV4, from)).toMatch(/\/boot\/[0-9a-f:]+$/);
    }
  });

  it("is for requests alone", async () => {
    for (const name of ["ovmf-pxe-discover", "dnsmasq-proxy-ack", "udhcpc-request"]) {
      expect((await answerBootServer(packet(name), FROM, site(LOADER))).reply, name).toBeUndefined();
    }
  });
});
