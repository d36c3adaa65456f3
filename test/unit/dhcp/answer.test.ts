import { describe, expect, it } from "vitest";
import type { BootDecision } from "../../../src/boot/boot-decision.ts";
import { encodeReply } from "../../../src/dhcp/reply.ts";
import { isApplianceError } from "../../../src/errors.ts";
import { formatMac } from "../../../src/values/mac.ts";
import { decodeDhcp } from "../../../src/wire/dhcp/decode.ts";
import type { DhcpMessage } from "../../../src/wire/dhcp/message.ts";
import { readOption, tryReadOption, writeOption } from "../../../src/wire/dhcp/option.ts";
import { OPTION } from "../../../src/wire/dhcp/options.ts";
import { PXE_OPTION } from "../../../src/wire/dhcp/pxe-options.ts";
import type { Options } from "../../../src/wire/dhcp/tlv.ts";
import { dhcpPacket, dhcpPackets } from "../../fixtures/dhcp-packets.ts";
import { ip, macOf, owner, rack } from "../leases/world.ts";
import { dhcpWorld, request, type Wishes } from "./world.ts";

const OURS = ip("10.0.0.1");
const A = ip("10.0.0.10");
const codes = (message: DhcpMessage | undefined) => [...(message?.options.keys() ?? [])];

describe("durability", () => {
  it("lets no ACK leave before its lease is on disk", async () => {
    const { ask, records } = dhcpWorld();
    await ask(request("discover"));
    records.held = true;
    let acknowledged = false;
    const answer = ask(request("request", { requested: A, serverId: OURS })).then((one) => {
      acknowledged = true;
      return one;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(acknowledged).toBe(false);
    records.settle();
    expect((await answer).outcome).toBe("bound");
  });

  it("is silent when the disk refuses, and has promised nothing", async () => {
    const { ask, records, leases } = dhcpWorld();
    records.held = true;
    const answer = ask(request("request", { requested: A, serverId: OURS }));
    records.refuse();
    await expect(answer).rejects.toThrow("refuses");
    expect(leases.find(owner(1))).toBeUndefined();
  });

  it("renews for no longer than what is on disk while the disk refuses, and not at all at the end of that", async () => {
    const { ask, records, lease, pin, clock } = dhcpWorld();
    await lease(1);
    await pin(2, ip("10.0.0.50"));
    const renew = async (machine: number, ciaddr: string) => {
      records.held = true;
      const answers = [1, 2].map(() => ask(request("request", { machine, ciaddr: ip(ciaddr) })));
      records.refuse();
      const [first, second] = (await Promise.all(answers)).map(({ reply }) =>
        [OPTION.leaseSeconds, OPTION.renewalSeconds].map((option) => reply && readOption(reply.options, option)),
      );
      expect(second).toEqual(first);
      return first;
    };
    clock.turn(400);
    expect(await renew(1, A)).toEqual([200, 100]);
    clock.turn(100);
    expect(await renew(1, A)).toEqual([100, 50]);
    expect(await renew(2, "10.0.0.50")).toEqual([600, 300]);
    clock.turn(95);
    await expect(renew(1, A)).rejects.toThrow("refuses");
  });

  it("remembers what the client calls itself", async () => {
    const { ask, leases } = dhcpWorld();
    const options: [number, Uint8Array][] = [
      [12, Buffer.from("node7")],
      [61, Uint8Array.of(1, 2, 3)],
    ];
    await ask(request("request", { requested: A, serverId: OURS, options }));
    expect(leases.find(owner(1))).toMatchObject({ hostname: "node7", clientId: "010203" });
  });
});

describe("parameters", () => {
  const network = rack({
    router: ip("10.0.0.254"),
    dns: [ip("10.0.0.53")],
    ntp: [ip("10.0.0.123")],
    domain: "rack.example",
    search: ["rack.example", "example"],
    mtu: 9000,
  });
  const routes = [{ destination: { network: ip("10.8.0.0"), prefix: 16 }, gateway: ip("10.0.0.8") }];

  it("gives all to a client that names none, and lease times", async () => {
    const { reply } = await dhcpWorld(network).ask(request("discover"));
    expect(codes(reply)).toEqual([53, 54, 51, 58, 59, 1, 28, 3, 6, 42, 15, 119, 26]);
    const read = <T>(option: Parameters<typeof readOption<T>>[1]) => readOption(reply!.options, option);
    expect([read(OPTION.leaseSeconds), read(OPTION.renewalSeconds), read(OPTION.rebindingSeconds)]).toEqual([
      600, 300, 525,
    ]);
    expect(read(OPTION.subnetMask)).toBe("255.255.255.0");
    expect(read(OPTION.broadcastAddress)).toBe("10.0.0.255");
    expect(read(OPTION.domainSearch)).toEqual(["rack.example", "example"]);
    expect(read(OPTION.mtu)).toBe(9000);
  });

  it("gives what was asked for in the client's order, the mask first", async () => {
    const { reply } = await dhcpWorld(network).ask(request("discover", { wanted: [15, 3, 1, 44] }));
    expect(codes(reply)).toEqual([53, 54, 51, 58, 59, 1, 15, 3]);
  });

  it("puts the default route among the classless routes, and then gives no router (RFC 3442)", async () => {
    const world = dhcpWorld({ ...network, routes });
    const modern = await world.ask(request("discover", { wanted: [1, 3, 121] }));
    expect(codes(modern.reply)).toEqual([53, 54, 51, 58, 59, 1, 121]);
    expect(readOption(modern.reply!.options, OPTION.classlessRoutes)).toEqual([
      { destination: { network: "10.8.0.0", prefix: 16 }, router: "10.0.0.8" },
      { destination: { network: "0.0.0.0", prefix: 0 }, router: "10.0.0.254" },
    ]);
    const old = await world.ask(request("discover", { wanted: [1, 3] }));
    expect(codes(old.reply)).toEqual([53, 54, 51, 58, 59, 1, 3]);
  });

  it("tells an INFORM the parameters and no lease (RFC 2131 4.3.5)", async () => {
    const { reply } = await dhcpWorld(network).ask(request("inform", { ciaddr: A, wanted: [3, 51] }));
    expect(codes(reply)).toEqual([53, 54, 1, 3]);
    expect(reply).toMatchObject({ ciaddr: A, yiaddr: "0.0.0.0" });
  });

  it("tells a relay's subnet its own mask and router", async () => {
    const { reply } = await dhcpWorld(network).ask(request("discover", { giaddr: ip("10.0.5.254") }));
    expect(readOption(reply!.options, OPTION.router)).toEqual(["10.0.5.254"]);
    expect(readOption(reply!.options, OPTION.broadcastAddress)).toBe("10.0.5.255");
  });

  it("copies what must be copied from the request (RFC 2131 table 3, RFC 6842, RFC 3046)", async () => {
    const relayAgent = Uint8Array.of(1, 1, 7);
    const options: [number, Uint8Array][] = [
      [82, relayAgent],
      [61, Uint8Array.of(9)],
    ];
    const giaddr = ip("10.0.5.254");
    const { reply } = await dhcpWorld(network).ask(request("discover", { giaddr, broadcast: true, options }));
    expect(reply).toMatchObject({ op: "reply", xid: 0xfeedbeef, giaddr, broadcast: true, hops: 0, secs: 0 });
    expect(codes(reply).slice(-2)).toEqual([61, 82]);
    expect(reply!.options.get(82)).toEqual(relayAgent);
  });

  it("chooses the subnet by the relay's link selection before giaddr (RFC 3527)", async () => {
    const options: [number, Uint8Array][] = [[82, Uint8Array.of(5, 4, 10, 0, 5, 0)]];
    const { address } = await dhcpWorld(network).ask(request("discover", { giaddr: ip("10.0.0.200"), options }));
    expect(address).toBe("10.0.5.10");
  });

  it("says little in a NAK, and lets a relay broadcast it", async () => {
    const { reply } = await dhcpWorld(network).ask(
      request("request", { requested: A, giaddr: ip("10.0.5.254"), options: [[61, Uint8Array.of(9)]] }),
    );
    expect(codes(reply)).toEqual([53, 54, 56, 61]);
    expect(reply).toMatchObject({ broadcast: true, yiaddr: "0.0.0.0", ciaddr: "0.0.0.0", siaddr: "0.0.0.0" });
  });

  it("leaves parameters out rather than exceed what the client takes", async () => {
    const search = Array.from({ length: 24 }, (_, index) => `a-rather-long-name-${index}.rack.example`);
    const message = request("discover");
    const { reply } = await dhcpWorld({ ...network, search }).ask(message);
    const small = encodeReply(message, reply!);
    expect(small.length).toBeLessThanOrEqual(548);
    expect([...decodeDhcp(small).options.keys()]).toEqual(expect.arrayContaining([1, 3, 51, 53, 54]));
    expect(decodeDhcp(small).options.has(119)).toBe(false);
    writeOption(message.options, OPTION.maxMessageBytes, 9000);
    const large = encodeReply(message, reply!);
    expect(large.length).toBeLessThanOrEqual(1472);
    expect(decodeDhcp(large).options.has(119)).toBe(true);
  });
});

describe("what a machine is told to boot", () => {
  const loader = (file: string, protocol: "tftp" | "http" = "tftp"): BootDecision => ({
    kind: "loader",
    file,
    protocol,
  });
  const script: BootDecision = { kind: "script" };

  /** The answer to a captured packet, sent and received. */
  async function boot(name: string, decision: BootDecision, httpPort = 80) {
    const world = dhcpWorld(rack({ httpPort }));
    world.policy.decision = decision;
    const message = decodeDhcp(dhcpPacket(name).bytes);
    const { reply, events } = await world.ask(message);
    return { message, reply: decodeDhcp(encodeReply(message, reply!)), events };
  }
  const text = (options: Options, code: number) => Buffer.from(options.get(code) ?? []).toString("latin1");

  it.each([
    ["constructed-intel-boot-agent-discover", "undionly.kpxe", "bios"],
    ["ovmf-pxe-discover", "snponly.efi", "uefi-x64"],
    ["constructed-broadcom-uefi-discover", "snponly.efi", "uefi-x64"],
  ])("%s: the loader by TFTP, as PXE wants it said", async (name, file, firmware) => {
    const { message, reply, events } = await boot(name, loader(file));
    expect(reply).toMatchObject({ siaddr: "10.0.0.1", sname: "10.0.0.1", file });
    expect([text(reply.options, 66), text(reply.options, 67), text(reply.options, 60)]).toEqual([
      "10.0.0.1",
      file,
      "PXEClient",
    ]);
    const vendor = readOption(reply.options, OPTION.vendorSpecific)!;
    expect(readOption(vendor, PXE_OPTION.discoveryControl)).toBe(8);
    expect(reply.options.get(97)).toEqual(message.options.get(97));
    expect(events).toMatchObject([
      {
        mac: formatMac(message.chaddr),
        network: "rack",
        address: A,
        firmware,
        file,
        stage: "dhcp-firmware",
        decision: "loader",
      },
    ]);
    expect(events[0]?.client).toMatchObject({ mac: formatMac(message.chaddr), stage: "firmware", firmware });
  });

  it("UEFI HTTP boot: a URL, and HTTPClient", async () => {
    const { reply } = await boot("ovmf-http-discover", loader("efi 64/snponly.efi", "http"), 8080);
    expect(text(reply.options, 67)).toBe("http://10.0.0.1:8080/assets/efi%2064/snponly.efi");
    expect(text(reply.options, 60)).toBe("HTTPClient");
    expect(reply.options.has(43)).toBe(false);
  });

  it("an iPXE: the script of its own NIC, and no waiting for ProxyDHCP", async () => {
    const { message, reply, events } = await boot("ipxe-rom-discover", script);
    const url = `http://10.0.0.1/boot/${formatMac(message.chaddr)}`;
    expect([reply.file, text(reply.options, 67)]).toEqual([url, url]);
    expect([...readOption(reply.options, OPTION.ipxe)!]).toEqual([[176, Uint8Array.of(1)]]);
    expect(reply.options.has(60)).toBe(false);
    expect(events.map(({ stage }) => stage)).toEqual(["dhcp-ipxe"]);
  });

  it("an iPXE that is to be replaced: the loader", async () => {
    const { reply } = await boot("ipxe-rom-discover", loader("undionly.kpxe"));
    expect([reply.siaddr, reply.file, reply.options.has(43)]).toEqual(["10.0.0.1", "undionly.kpxe", false]);
  });

  it("exit: a boot menu of nothing but the local disk (PXE 2.1, type 0), chosen without a prompt", async () => {
    const { reply } = await boot("ovmf-pxe-discover", { kind: "exit" });
    expect(reply).toMatchObject({ yiaddr: A, siaddr: "0.0.0.0", sname: "", file: "" });
    expect(text(reply.options, 60)).toBe("PXEClient");
    const vendor = readOption(reply.options, OPTION.vendorSpecific)!;
    expect(readOption(vendor, PXE_OPTION.bootMenu)).toEqual([{ type: 0, description: "Local boot" }]);
    expect(readOption(vendor, PXE_OPTION.bootMenuPrompt)).toMatchObject({ timeoutSeconds: 0 });
  });

  it("exit, by UEFI HTTP boot: a URL where nothing is", async () => {
    const { reply } = await boot("ovmf-http-discover", { kind: "exit" });
    expect(text(reply.options, 67)).toMatch(/^http:\/\/10\.0\.0\.1\/.*52:54/);
    expect(text(reply.options, 60)).toBe("HTTPClient");
  });

  it.each<BootDecision>([{ kind: "none" }, { kind: "hold" }])("$kind: an address only", async (decision) => {
    const { reply } = await boot("ovmf-pxe-discover", decision);
    expect(reply).toMatchObject({ yiaddr: A, siaddr: "0.0.0.0", sname: "", file: "" });
    expect(codes(reply).filter((code) => [43, 60, 66, 67, 97, 175].includes(code))).toEqual([]);
  });

  it("a refusal: an address, and the reason in the timeline", async () => {
    const { reply, events } = await boot("ovmf-pxe-discover", { kind: "refuse", reason: "no-loader" });
    expect(reply).toMatchObject({ yiaddr: A, file: "" });
    expect(events.map(({ stage, reason }) => [stage, reason])).toEqual([
      ["dhcp-firmware", undefined],
      ["refused", "no-loader"],
    ]);
  });

  it("ignored: no answer, and no address is kept for it", async () => {
    const { ask, policy, leases, own } = dhcpWorld();
    policy.decision = { kind: "ignore" };
    for (const message of [
      request("discover"),
      request("request", { requested: A, serverId: OURS }),
      request("inform"),
    ])
      expect(await ask(message)).toMatchObject({ outcome: "ignored", reason: "unknown machine" });
    expect(leases.assigned(owner(1), own)).toBeUndefined();
  });

  it("BOOTP: the file in the header", async () => {
    const world = dhcpWorld();
    world.reserved.set(macOf(1), A);
    world.policy.decision = loader("undionly.kpxe");
    const message = request(undefined, { dhcp: false });
    const reply = decodeDhcp(encodeReply(message, (await world.ask(message)).reply!));
    expect(reply).toMatchObject({ dhcp: false, yiaddr: A, siaddr: "10.0.0.1", file: "undionly.kpxe" });
  });

  it("a conflict on a pinned address reaches the timeline", async () => {
    const world = dhcpWorld();
    await world.pin(1);
    const { events } = await world.ask(request("decline", { requested: A, serverId: OURS }));
    expect(events).toEqual([{ mac: macOf(1), stage: "refused", address: A, reason: "address-conflict" }]);
  });
});

describe("what a machine that boots does not get reaches the timeline", () => {
  const OTHER = ip("10.0.0.99");
  const PXE: Wishes["options"] = [[60, Buffer.from("PXEClient:Arch:00000:UNDI:002001")]];
  const seen = async (world: ReturnType<typeof dhcpWorld>, ...question: Parameters<typeof request>) =>
    (await world.ask(request(...question))).events.map(({ stage, reason, address, acknowledged }) => [
      ...[stage, reason, address, acknowledged],
    ]);

  it("an address, because none is left", async () => {
    const world = dhcpWorld(rack({ pool: [{ from: A, to: A }] }));
    await world.ask(request("request", { machine: 2, requested: A, serverId: OURS }));
    expect(await seen(world, "discover", { options: PXE })).toEqual([["refused", "no-address", undefined, undefined]]);
    expect(await seen(world, "discover")).toEqual([]);
  });

  it("our offer, because another server's was taken: that one is named", async () => {
    const taken = { requested: A, serverId: OTHER };
    expect(await seen(dhcpWorld(), "request", { ...taken, options: PXE })).toEqual([
      ["refused", "other-dhcp-server", OTHER, undefined],
    ]);
    expect(await seen(dhcpWorld(), "request", taken)).toEqual([]);
  });

  it("more than an offer, until it takes it", async () => {
    const world = dhcpWorld();
    expect(await seen(world, "discover", { options: PXE })).toEqual([["dhcp-firmware", undefined, A, undefined]]);
    expect(await seen(world, "request", { requested: A, serverId: OURS, options: PXE })).toEqual([
      ["dhcp-firmware", undefined, A, true],
    ]);
  });
});

describe("any packet", () => {
  it("is answered or left, never a crash: captured ones, cut at every byte", async () => {
    const decisions: BootDecision[] = [{ kind: "script" }, { kind: "loader", file: "a.efi", protocol: "tftp" }];
    let replies = 0;
    for (const { bytes } of dhcpPackets()) {
      const world = dhcpWorld();
      for (let end = 0; end <= bytes.length; end++) {
        world.policy.decision = decisions[end % 2]!;
        try {
          const message = decodeDhcp(bytes.subarray(0, end));
          const { reply } = await world.ask(message);
          if (!reply) continue;
          const sent = decodeDhcp(encodeReply(message, reply));
          expect(tryReadOption(sent.options, OPTION.serverId) ?? OURS).toBe(OURS);
          replies++;
        } catch (error) {
          if (!isApplianceError(error, "INVALID")) throw error;
        }
      }
    }
    expect(replies).toBeGreaterThan(100);
  });
});
