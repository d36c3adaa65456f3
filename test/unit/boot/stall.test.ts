import { describe, expect, it } from "vitest";
import type { BootClient } from "../../../src/boot/boot-client.ts";
import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import type { BootEvent } from "../../../src/boot/boot-event.ts";
import { advance, type BootSession } from "../../../src/boot/boot-session.ts";
import { findStall, STALL_KINDS, type Stall } from "../../../src/boot/stall.ts";
import { parseIpv4 } from "../../../src/values/ipv4.ts";
import { rack } from "../leases/world.ts";
import { bootEntry, mac } from "./boot-fixtures.ts";

const A = parseIpv4("10.0.0.10");
const OTHER = parseIpv4("10.0.0.99");
const bios: BootClient = { mac, stage: "firmware", firmware: "bios" };
const uefi: BootClient = { mac, stage: "firmware", firmware: "uefi-x64" };
const http: BootClient = { mac, stage: "firmware", firmware: "uefi-http-x64" };
const ipxe: BootClient = { mac, stage: "ipxe", firmware: "bios", hasHttp: true, hasIscsi: true };

type Seen = [second: number, stage: BootEvent["stage"], details?: Partial<BootEvent>];

const offer = (second: number, client = bios): Seen => {
  const decision = client.stage === "ipxe" ? "script" : "loader";
  const file = decision === "loader" ? { file: "undionly.kpxe" } : {};
  return [second, `dhcp-${client.stage as "firmware"}`, { client, address: A, decision, ...file }];
};
const ack = (second: number, client = bios): Seen => {
  const [, stage, details] = offer(second, client);
  return [second, stage, { ...details, acknowledged: true }];
};
const refusal = (second: number, reason: string, more: Partial<BootEvent> = {}): Seen => [
  ...([second, "refused", { reason, client: bios, ...more }] as const),
];

/** A whole boot, at the pace of a virtual machine. */
const BOOT: Seen[] = [
  [0, "power-on"],
  offer(4),
  ack(5),
  [7, "boot-file", { file: "undionly.kpxe", bytes: 74_213 }],
  offer(9, ipxe),
  ack(10, ipxe),
  [25, "script", { file: "sanboot", decision: "sanboot" }],
  [26, "iscsi-login-firmware"],
  [26.2, "first-read"],
  [29, "dhcp-os"],
  [30, "iscsi-login-os"],
  [31, "ready"],
];
/** The boot up to the first event of this stage, itself left out. */
const until = (stage: BootEvent["stage"]) =>
  BOOT.slice(
    0,
    BOOT.findIndex((one) => one[1] === stage),
  );

/** The boots that these events make, newest first, as the timeline keeps them. */
function boots(events: Seen[]): BootSession[] {
  const all: BootSession[] = [];
  for (const [second, stage, details] of events) {
    const next = advance(all[0], { mac, stage, at: second * 1000, ...details });
    if (next.id === all[0]?.id) all.shift();
    all.unshift(next);
  }
  return all;
}

const network = rack();
function stallOf(events: Seen[], second: number, entry: Partial<BootEntry> = {}, on = network): Stall | undefined {
  const plan = {
    entry: bootEntry({ network: "rack", portals: [{ address: parseIpv4("10.0.0.2"), port: 3260 }], ...entry }),
    network: on,
  };
  return findStall(boots(events), plan, second * 1000);
}

/** What was seen; seconds in which it is still a boot, and in which it is a stall; kind, symptom, words of each remedy in order. */
type Row = [
  name: string,
  seen: Seen[],
  goesOn: number,
  stalls: number,
  kind: Stall["kind"],
  symptom: RegExp,
  remedies: RegExp[],
];

const rows: Row[] = [
  [
    "nothing but power-on",
    until("dhcp-firmware"),
    599,
    600,
    "no-dhcp",
    /no DHCP request/,
    [/cable.*VLAN/, /boot order/, /portfast/, /console/, /udp port 67/],
  ],
  [
    "an offer that nobody takes",
    [[0, "power-on"], offer(4), offer(8), offer(16)],
    43,
    44,
    "offer-not-taken",
    /10\.0\.0\.10 offered 3 times, never ack/,
    [/proxy/, /portfast.*trust/, /tcpdump -ni eth1 port 67/],
  ],
  [
    "an offer to iPXE that it does not take",
    [...until("dhcp-ipxe"), offer(9, ipxe)],
    48,
    49,
    "offer-not-taken",
    /offered once/,
    [/proxy/, /portfast/, /tcpdump/],
  ],
  [
    "another server's offer taken",
    [offer(4), refusal(5, "other-dhcp-server", { address: OTHER })],
    43,
    44,
    "offer-not-taken",
    /never ack/,
    [/stop that server/, /portfast/, /tcpdump/],
  ],
  [
    "an address that another machine has",
    [offer(4), refusal(6, "address-conflict", { address: A })],
    43,
    44,
    "offer-not-taken",
    /never ack/,
    [/arping.*10\.0\.0\.10/, /proxy/, /portfast/, /tcpdump/],
  ],
  [
    "no address left",
    [[0, "power-on"], refusal(4, "no-address")],
    3,
    4,
    "refused",
    /no address of network rack is left/,
    [/pool larger/],
  ],
  [
    "no loader for this firmware",
    [ack(4), refusal(4, "no-loader")],
    3,
    4,
    "refused",
    /no loader is configured/,
    [/loaders/],
  ],
  [
    "an iPXE without HTTP",
    [ack(4, ipxe), refusal(4, "ipxe-lacks-http", { client: ipxe })],
    3,
    4,
    "refused",
    /no HTTP/,
    [/snponly\.efi/],
  ],
  [
    "an iPXE without iSCSI",
    [ack(4, ipxe), refusal(4, "ipxe-lacks-iscsi", { client: ipxe })],
    3,
    4,
    "refused",
    /no iSCSI/,
    [/undionly\.kpxe/],
  ],
  [
    "the wrong network",
    [ack(4), refusal(4, "wrong-network")],
    3,
    4,
    "refused",
    /another network than rack/,
    [/cable it/],
  ],
  [
    "a mode of another version",
    [ack(4), refusal(4, "mode-unsupported")],
    3,
    4,
    "refused",
    /deploy mode/,
    [/release it/],
  ],
  ["a loop", [ack(4), refusal(4, "boot-loop")], 3, 4, "refused", /again and again/, [/console/]],
  [
    "an OS that may still be up",
    [ack(4, ipxe), [5, "script", { decision: "refuse" }], refusal(5, "unarmed")],
    64,
    65,
    "refused",
    /nothing says that it is down/,
    [/power node1 off/],
  ],
  [
    "a loader that is never asked for",
    until("boot-file"),
    63,
    64,
    "loader-not-fetched",
    /told to fetch undionly\.kpxe, never/,
    [/udp port 69/, /66 and 67/, /up to date/],
  ],
  [
    "the same by HTTP",
    [offer(4, http), ack(5, http)],
    63,
    64,
    "loader-not-fetched",
    /never asked/,
    [/tcp port 80/, /66 and 67/, /up to date/],
  ],
  [
    "a loader that can't be served",
    [ack(4), refusal(5, "boot-file-refused", { file: "undionly.kpxe" })],
    63,
    64,
    "loader-not-fetched",
    /never asked/,
    [/gather\.ts/, /udp port 69/, /66/, /date/],
  ],
  [
    "a loader that breaks off",
    [ack(4), refusal(20, "boot-file-timeout", { file: "undionly.kpxe", bytes: 1024 })],
    33,
    34,
    "loader-incomplete",
    /undionly\.kpxe begun and not finished \(1024 bytes\)/,
    [/firewall/, /ip link show eth1/, /udp pass/],
  ],
  [
    "a loader that does nothing",
    until("dhcp-ipxe"),
    96,
    97,
    "loader-silent",
    /undionly\.kpxe fetched, no request/,
    [/another one.*loaders/, /portfast/, /ipxe\.efi/],
  ],
  [
    "the same under UEFI",
    [ack(5, uefi), [7, "boot-file", { file: "snponly.efi" }]],
    96,
    97,
    "loader-silent",
    /snponly\.efi fetched/,
    [/another one/, /Secure Boot/, /portfast/, /ipxe\.efi/],
  ],
  [
    "an iPXE that asks for no script",
    until("script"),
    68,
    69,
    "no-script",
    /iPXE has 10\.0\.0\.10, asks for no script/,
    [/tcp port 80 in on eth1/, /names the URL/],
  ],
  [
    "our iPXE, chained by a ROM's",
    [ack(1, ipxe), [2, "boot-file"], ack(20, ipxe)],
    79,
    80,
    "no-script",
    /asks for no script/,
    [/tcp port 80/, /URL/],
  ],
  [
    "a script that nobody logs in after",
    until("iscsi-login-firmware"),
    54,
    55,
    "no-login",
    /script sent, no iSCSI login/,
    [/tcp port 3260/, /doctor compares/, /provision --disk/, /mtu/],
  ],
  [
    "a script to a foreign address",
    [...until("iscsi-login-firmware"), [26, "refused", { reason: "foreign-address", address: OTHER }]],
    54,
    55,
    "no-login",
    /no iSCSI login/,
    [/lease list/, /3260/, /doctor/, /--disk/, /mtu/],
  ],
  [
    "a login that reads nothing",
    until("first-read"),
    55,
    56,
    "no-read",
    /logged in, reads nothing/,
    [/doctor compares/, /mtu/, /console/],
  ],
  [
    "an OS without iSCSI",
    until("dhcp-os"),
    206,
    207,
    "no-os-login",
    /its OS does not log in/,
    [/update-initramfs/, /MODULES=most/, /console/],
  ],
  [
    "an OS with an address, without iSCSI",
    until("iscsi-login-os"),
    206,
    207,
    "no-os-login",
    /has an address, and does not log in/,
    [/update-initramfs/, /console/],
  ],
  [
    "a disk that does not boot",
    [...until("dhcp-os"), [40, "script", { decision: "sanboot" }], [60, "script", { decision: "sanboot" }]],
    206,
    207,
    "no-os-login",
    /does not log in/,
    [/system partition/, /update-initramfs/, /MODULES/, /console/],
  ],
  [
    "an OS that does not phone home",
    until("ready"),
    329,
    330,
    "not-ready",
    /does not phone home/,
    [/POST http:\/\/10\.0\.0\.1\/boot\/52.*ready/, /console/, /boot NIC/],
  ],
];

describe("a boot that stands still", () => {
  it.each(rows)("%s", (_, seen, goesOn, stalls, kind, symptom, remedies) => {
    expect(stallOf(seen, goesOn)?.kind).toBeUndefined();
    const stall = stallOf(seen, stalls);
    expect(stall).toMatchObject({ kind, attempts: 1, symptom: expect.stringMatching(symptom) });
    expect(stall?.causes.map(({ remedy }) => remedy)).toEqual(remedies.map((words) => expect.stringMatching(words)));
  });

  it("has a test for each kind", () => {
    expect(new Set(rows.map((row) => row[4]))).toEqual(new Set(STALL_KINDS));
  });

  it("is told of a portal that it has no route to, unless a route leads there", () => {
    const far = { portals: [{ address: parseIpv4("10.9.0.1"), port: 3260 }] };
    const remedy = (on: typeof network) => stallOf(until("iscsi-login-firmware"), 100, far, on)?.causes[0]?.remedy;
    expect(remedy(network)).toMatch(/networks\[\]\.router/);
    expect(remedy({ ...network, router: parseIpv4("10.0.0.254") })).toMatch(/tcp port/);
  });

  it("has passed what it was refused once it goes on", () => {
    const seen: Seen[] = [refusal(1, "no-address"), ...until("iscsi-login-firmware").slice(1)];
    expect(stallOf(seen, 30)).toBeUndefined();
    expect(stallOf(seen, 100)?.kind).toBe("no-login");
  });

  it("may take as long as this machine took before, and half as long on top", () => {
    const slow: Seen[] = [[0, "power-on"], ...BOOT.slice(1).map(([at, ...rest]): Seen => [at + 900, ...rest])];
    const again: Seen[] = [...slow, [2000, "power-on"]];
    expect(stallOf(again, 2000 + 1355)).toBeUndefined();
    expect(stallOf(again, 2000 + 1356)?.kind).toBe("no-dhcp");
  });
});

describe("no stall", () => {
  const late = 100_000;
  it.each<[string, Seen[], Partial<BootEntry>]>([
    ["is a boot that is over", BOOT, {}],
    ["is one that is over at the login, since its image does not phone home", until("ready"), { phonesHome: false }],
    ["is one that we switched off", [...until("script"), [40, "power-off"]], {}],
    ["is one of an earlier life of the node", until("script"), { createdAt: 50_000 }],
    ["is a node that has booted once, and shall not again", until("script"), { once: true, bootedAt: 1 }],
    [
      "is a node that was sent on to its own disk",
      [[1, "dhcp-firmware", { client: bios, address: A, acknowledged: true, decision: "exit" }]],
      {},
    ],
    ["is a node that nobody has heard of", [], {}],
  ])("%s", (_, seen, entry) => {
    expect(stallOf(seen, late, entry)).toBeUndefined();
  });

  it("is a proxy's offer, which holds no address to be taken", () => {
    const seen: Seen[] = [[1, "dhcp-firmware", { client: bios, decision: "loader", file: "undionly.kpxe" }]];
    expect(stallOf(seen, 60)).toBeUndefined();
    expect(stallOf(seen, 61)?.kind).toBe("loader-not-fetched");
  });
});

describe("a machine that begins anew", () => {
  // firmware that gives up after its loader: a new boot every 30 s
  const tries = (count: number): Seen[] =>
    Array.from(
      { length: count },
      (_, n) => [ack(30 * n), [30 * n + 2, "boot-file", { file: "undionly.kpxe" }]] as Seen[],
    ).flat();

  it("stalls at its third boot that gets no further", () => {
    expect(stallOf(tries(2), 33)).toBeUndefined();
    expect(stallOf(tries(3), 63)).toMatchObject({ kind: "loader-silent", attempts: 3 });
    expect(stallOf([...tries(3), ack(90)], 91)).toMatchObject({ kind: "loader-silent", attempts: 4 });
  });

  it("goes on when it gets further than before", () => {
    expect(stallOf([...tries(3), ack(65, ipxe), [66, "script", { decision: "sanboot" }]], 67)).toBeUndefined();
  });

  it("is given a new chance by a power-on", () => {
    expect(stallOf([...tries(4), [120, "power-on"]], 121)).toBeUndefined();
    expect(stallOf([...tries(4), [120, "power-on"], ack(125), [127, "boot-file"], ack(155)], 156)).toBeUndefined();
  });
});
