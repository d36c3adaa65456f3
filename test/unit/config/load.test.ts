import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkConfig } from "../../../src/config/check.ts";
import { loadConfig, parseConfig } from "../../../src/config/load.ts";

/** The smallest good file, with these lines more in its network and at its top. */
function file({ network = "", top = "", base = GOOD }: { network?: string; top?: string; base?: string } = {}) {
  const indented = network.replace(/^(?=.)/gm, "    ");
  return `${base}${indented}${indented ? "\n" : ""}${top}${top ? "\n" : ""}`;
}

const GOOD = `networks:
  - name: prov
    interface: eth1
    address: 10.20.0.1
    subnet: 10.20.0.0/24
    portals: [{ address: 10.20.0.1 }]
    tgtd: { control: 1 }
`;

const SECOND = `  - name: lab
    interface: eth2
    address: 10.30.0.1
    subnet: 10.30.0.0/24
    portals: [{ address: 10.30.0.1 }]
    tgtd: { control: 2 }
`;

it("knows a directory by one name, with a slash at its end or without", () => {
  const text = file({
    top: "pool: { incoming: { directory: /srv/incoming/ }, importDirectories: [/, /srv/images//] }",
  });
  expect(parseConfig(text, "f").pool).toMatchObject({
    incoming: { directory: "/srv/incoming" },
    importDirectories: ["/", "/srv/images"],
  });
});

/** The message of the refusal, `f` being the file. */
function refusal(text: string): string {
  try {
    parseConfig(text, "f");
  } catch (error) {
    expect(error).toMatchObject({ name: "ApplianceError", code: "CONFIG_INVALID", details: { file: "f" } });
    return (error as Error).message;
  }
  throw new Error("the file was accepted");
}

describe("a good file", () => {
  it("is filled in with defaults", () => {
    const config = parseConfig(file(), "f");
    expect(config).toMatchObject({
      stateDirectory: "/var/lib/ingot",
      chap: "one-way",
      loaders: { bios: ["undionly.kpxe", "ipxe.pxe"] },
      api: { listen: { address: "127.0.0.1" } },
    });
    expect(config.networks[0]).toMatchObject({
      subnet: { network: "10.20.0.0", prefix: 24 },
      leaseSeconds: 3600,
      unknown: "exit",
      portals: [{ address: "10.20.0.1", port: 3260 }],
    });
  });

  it("may use anchors, comments and a byte order mark", () => {
    const text = `\uFEFF# ours\n${file({ network: "dns: &dns [10.20.0.9]\nntp: *dns" })}`;
    expect(parseConfig(text, "f").networks[0]).toMatchObject({ dns: ["10.20.0.9"], ntp: ["10.20.0.9"] });
  });

  it("may serve a loopback network, route on the link and have portals elsewhere", () => {
    const loopback = GOOD.replaceAll("10.20.0.", "127.20.0.");
    expect(parseConfig(loopback, "f").networks[0]?.portals[0]?.address).toBe("127.20.0.1");
    parseConfig(file({ network: "routes: [{ destination: 0.0.0.0/0, gateway: 0.0.0.0 }]" }), "f");
    parseConfig(GOOD.replace("portals: [{ address: 10.20.0.1 }]", "portals: [{ address: 192.0.2.7 }]"), "f");
  });

  it("may have pools that meet without overlapping, up to the ends of the subnet", () => {
    const pool = "pool: [{ from: 10.20.0.2, to: 10.20.0.99 }, { from: 10.20.0.100, to: 10.20.0.254 }]";
    expect(parseConfig(file({ network: pool }), "f").networks[0]?.pool).toHaveLength(2);
  });

  it("may pool the appliance's address when it excludes it", () => {
    parseConfig(file({ network: "pool: [{ from: 10.20.0.1, to: 10.20.0.9 }]\nexclude: [10.20.0.1]" }), "f");
  });
});

describe("values", () => {
  it.each<[what: string, text: string, message: string]>([
    [
      "an unknown key close to a known one",
      file({ network: "leaseSecond: 60" }),
      'f:8: networks[0].leaseSecond: unknown key; did you mean "leaseSeconds"?',
    ],
    [
      "an unknown key spelt with a dash",
      file({ top: "state-directory: /s" }),
      'f:8: state-directory: unknown key; did you mean "stateDirectory"?',
    ],
    [
      "an unknown key like no other",
      file({ top: "tftp: { speed: 9 }" }),
      "f:8: tftp.speed: unknown key; the keys here are maxTransfers, maxTransfersPerClient",
    ],
    [
      "an address that YAML reads as a number",
      file({ network: "router: 10.20" }),
      "f:8: networks[0].router: 10.2 is a number; write text, in quotes if it looks like a number",
    ],
    [
      "a wrong address",
      file({ network: "router: 10.20.0.256" }),
      'f:8: networks[0].router: "10.20.0.256" is not an IPv4 address; write it like 10.20.0.1',
    ],
    [
      "a subnet with host bits",
      GOOD.replace("10.20.0.0/24", "10.20.0.7/24"),
      'f:5: networks[0].subnet: "10.20.0.7/24" has bits set behind the prefix; write 10.20.0.0/24',
    ],
    [
      "a misspelt choice",
      file({ network: "unknown: hodl" }),
      'f:8: networks[0].unknown: "hodl" is not a choice; did you mean "hold"? The choices are ignore, exit, hold',
    ],
    [
      "a choice like no other",
      file({ top: "chap: never" }),
      'f:8: chap: "never" is not a choice; choose among one-way, mutual',
    ],
    [
      "text for a number",
      file({ network: 'mtu: "big"' }),
      'f:8: networks[0].mtu: "big" is text; write a number, without quotes',
    ],
    [
      "a fraction",
      file({ network: "leaseSeconds: 1.5" }),
      "f:8: networks[0].leaseSeconds: 1.5 is a fraction; write a whole number",
    ],
    ["too small a number", file({ network: "mtu: 68" }), "f:8: networks[0].mtu: 68 is too small; write at least 576"],
    [
      "zero seconds",
      file({ network: "leaseSeconds: 0" }),
      "f:8: networks[0].leaseSeconds: 0 is too small; write more than 0",
    ],
    [
      "too large a number",
      file({ network: "httpPort: 65536" }),
      "f:8: networks[0].httpPort: 65536 is too large; write at most 65535",
    ],
    [
      "a mapping for a list",
      file({ network: "dns: { first: 10.20.0.9 }" }),
      'f:8: networks[0].dns: {"first":"10.20.0.9"} is a mapping; write a list, each entry after a dash',
    ],
    ["a list for a mapping", file({ top: "api: []" }), "f:8: api: [] is a list; write a mapping of keys below it"],
    ["a key without value", file({ top: "api:" }), "f:8: api: has no value; give it one or remove the key"],
    ["a missing key", GOOD.replace("    interface: eth1\n", ""), "f:2: networks[0].interface: is missing; add it"],
    ["no networks", "networks: []", "f:1: networks: needs at least 1 entry; add one"],
    ["an empty file", "# nothing\n", "f:1: networks: is missing; add it"],
    ["a file that is a list", "- networks", 'f:1: ["networks"] is a list; write a mapping of keys below it'],
    [
      "a relative path",
      file({ top: "stateDirectory: state" }),
      'f:8: stateDirectory: "state" does not fit; write the absolute path, from / on',
    ],
    [
      "an impossible interface",
      GOOD.replace("eth1", "eth1:0"),
      'f:3: networks[0].interface: "eth1:0" does not fit; write an interface as `ip link` lists it, 1 to 15 characters',
    ],
    [
      "a name with capitals",
      GOOD.replace("name: prov", "name: Prov"),
      'f:2: networks[0].name: "Prov" does not fit; use 1 to 63 lower-case letters, digits, dots, dashes or underscores, a letter or digit at the ends',
    ],
  ])("%s is refused by name", (_, text, message) => {
    expect(refusal(text)).toBe(message);
  });

  it.each(["/etc/passwd", "../x", "a/../../x", "..", ".", "a\\b", "a/", ""])("loader %j is not confined", (loader) => {
    expect(refusal(file({ top: `loaders: { bios: ${JSON.stringify(loader)} }` }))).toContain(
      "write a path inside assetsDirectory",
    );
  });

  it.each(["undionly.kpxe", "efi/snponly.efi", "..a/b..", "a b"])("loader %j is confined", (loader) => {
    expect(parseConfig(file({ top: `loaders: { bios: ${JSON.stringify(loader)} }` }), "f").loaders.bios).toEqual([
      loader,
    ]);
  });
});

describe("values that don't fit together", () => {
  it.each<[what: string, text: string, message: string]>([
    [
      "the appliance's address outside the subnet",
      GOOD.replace("address: 10.20.0.1\n", "address: 10.21.0.1\n"),
      "f:4: networks[0].address: 10.21.0.1 is no host address of 10.20.0.0/24; name one from 10.20.0.1 to 10.20.0.254",
    ],
    [
      "the broadcast address as the appliance's",
      GOOD.replace("address: 10.20.0.1\n", "address: 10.20.0.255\n"),
      "f:4: networks[0].address: 10.20.0.255 is no host address of 10.20.0.0/24; name one from 10.20.0.1 to 10.20.0.254",
    ],
    [
      "a range that ends outside",
      file({ network: "pool:\n  - from: 10.20.0.9\n    to: 10.20.1.9" }),
      "f:10: networks[0].pool[0].to: 10.20.1.9 is no host address of 10.20.0.0/24; name one from 10.20.0.1 to 10.20.0.254",
    ],
    [
      "a range backwards",
      file({ network: "pool: [{ from: 10.20.0.20, to: 10.20.0.9 }]" }),
      "f:8: networks[0].pool[0]: the range ends before it begins; swap 10.20.0.20 and 10.20.0.9",
    ],
    [
      "ranges that overlap",
      file({ network: "pool:\n  - { from: 10.20.0.9, to: 10.20.0.20 }\n  - { from: 10.20.0.20, to: 10.20.0.30 }" }),
      "f:10: networks[0].pool[1]: the range overlaps 10.20.0.9-10.20.0.20; every address may appear once",
    ],
    [
      "a range around another",
      file({ network: "pool:\n  - { from: 10.20.0.9, to: 10.20.0.20 }\n  - { from: 10.20.0.2, to: 10.20.0.30 }" }),
      "f:10: networks[0].pool[1]: the range overlaps 10.20.0.9-10.20.0.20; every address may appear once",
    ],
    [
      "a range with the router in it",
      file({ network: "router: 10.20.0.9\npool: [{ from: 10.20.0.2, to: 10.20.0.30 }]" }),
      "f:9: networks[0].pool[0]: the range holds 10.20.0.9, which is not free; shorten the range or add the address to exclude",
    ],
    [
      "a router that nodes can't reach",
      file({ network: "router: 10.21.0.1" }),
      "f:8: networks[0].router: 10.21.0.1 is no host address of 10.20.0.0/24; name one from 10.20.0.1 to 10.20.0.254",
    ],
    [
      "a route through a gateway elsewhere",
      file({ network: "routes: [{ destination: 192.0.2.0/24, gateway: 10.9.9.9 }]" }),
      "f:8: networks[0].routes[0].gateway: nodes can't reach the gateway 10.9.9.9; name one inside 10.20.0.0/24",
    ],
    [
      "an excluded address of nowhere",
      file({ network: "exclude: [10.21.0.9]" }),
      "f:8: networks[0].exclude[0]: 10.21.0.9 lies in no subnet of this network; nothing there is given out, remove it",
    ],
    [
      "a portal that is no address",
      GOOD.replace("[{ address: 10.20.0.1 }]", "[{ address: 0.0.0.0 }]"),
      "f:6: networks[0].portals[0].address: no node can connect to 0.0.0.0; name an address of the appliance",
    ],
    [
      "a loopback portal",
      GOOD.replace("[{ address: 10.20.0.1 }]", "[{ address: 127.0.0.1 }]"),
      "f:6: networks[0].portals[0].address: no node can connect to 127.0.0.1; name an address of the appliance",
    ],
    [
      "a portal listed twice",
      GOOD.replace("[{ address: 10.20.0.1 }]", "[{ address: 10.20.0.1 }, { address: 10.20.0.1, port: 3260 }]"),
      "f:6: networks[0].portals[1]: 10.20.0.1:3260 is listed twice; remove one of them",
    ],
    [
      "a relayed subnet over the network's own",
      file({ network: "relayedSubnets: [{ subnet: 10.20.0.128/25 }]" }),
      "f:8: networks[0].relayedSubnets[0].subnet: 10.20.0.128/25 overlaps 10.20.0.0/24; every subnet may appear once",
    ],
    [
      "a relayed subnet twice",
      file({ network: "relayedSubnets:\n  - subnet: 10.40.0.0/16\n  - subnet: 10.40.3.0/24" }),
      "f:10: networks[0].relayedSubnets[1].subnet: 10.40.3.0/24 overlaps 10.40.0.0/16; every subnet may appear once",
    ],
    [
      "a relayed range outside its subnet",
      file({ network: "relayedSubnets:\n  - subnet: 10.40.0.0/24\n    pool: [{ from: 10.20.0.9, to: 10.40.0.9 }]" }),
      "f:10: networks[0].relayedSubnets[0].pool[0].from: 10.20.0.9 is no host address of 10.40.0.0/24; name one from 10.40.0.1 to 10.40.0.254",
    ],
    [
      "networks over one another",
      file({ base: `${GOOD}${SECOND.replaceAll("10.30.0.", "10.20.0.")}` }),
      "f:11: networks[1].subnet: 10.20.0.0/24 overlaps 10.20.0.0/24; every subnet may appear once",
    ],
    [
      "networks of one name",
      file({ base: `${GOOD}${SECOND.replace("lab", "prov")}` }),
      "f:8: networks[1].name: two networks share the name prov; networks[0] has it already",
    ],
    [
      "networks on one interface",
      file({ base: `${GOOD}${SECOND.replace("eth2", "eth1")}` }),
      "f:9: networks[1].interface: two networks share the interface eth1; networks[0] has it already",
    ],
    [
      "networks with one tgtd",
      file({ base: `${GOOD}${SECOND.replace("control: 2", "control: 1")}` }),
      "f:13: networks[1].tgtd.control: two networks share the tgtd control number 1; networks[0] has it already",
    ],
    [
      "a pool where another server gives the addresses",
      file({ network: "dhcp: proxy\npool: [{ from: 10.20.0.2, to: 10.20.0.9 }]" }),
      "f:9: networks[0].pool: no addresses are given where dhcp is proxy; remove it, or set dhcp to server or auto",
    ],
    [
      "a pool behind a relay where another server gives the addresses",
      file({
        network: "dhcp: proxy\nrelayedSubnets: [{ subnet: 10.40.0.0/24, pool: [{ from: 10.40.0.2, to: 10.40.0.9 }] }]",
      }),
      "f:9: networks[0].relayedSubnets[0].pool: no addresses are given where dhcp is proxy; remove it, or set dhcp to server or auto",
    ],
    [
      "a name server where no DHCP is answered",
      file({ network: "dhcp: off\ndns: [10.20.0.2]" }),
      "f:9: networks[0].dns: no addresses are given where dhcp is off; remove it, or set dhcp to server or auto",
    ],
    [
      "a proxy that is to give addresses beside another server",
      file({ network: "dhcp: proxy\nbesideForeignDhcp: true" }),
      "f:9: networks[0].besideForeignDhcp: it means nothing where dhcp is proxy; remove it, or set dhcp to server",
    ],
    [
      "the pool in the state directory's place",
      file({ top: "pool: { directory: /var/lib/ingot }" }),
      "f:8: pool.directory: the pool can't be the state directory; a full pool would stop the journal, name another",
    ],
  ])("%s: refused", (_, text, message) => {
    expect(refusal(text)).toBe(message);
  });
});

describe("the refusal", () => {
  it("lists every problem, in the order of the file, cross checks beside unknown keys", () => {
    const text = GOOD.replace("address: 10.20.0.1\n", "address: 10.21.0.1\n").replace(
      "name: prov",
      "nmae: x\n    name: prov",
    );
    expect(refusal(`colour: red\n${file({ base: text, top: "log: { level: loud }" })}`).split("\n")).toEqual([
      "f:1: colour: unknown key; the keys here are stateDirectory, runtimeDirectory, assetsDirectory, log, networks, loaders, tftp, pool, disks, chap, arming, operations, audit, consoles, isolation, api",
      'f:3: networks[0].nmae: unknown key; did you mean "name"?',
      "f:6: networks[0].address: 10.21.0.1 is no host address of 10.20.0.0/24; name one from 10.20.0.1 to 10.20.0.254",
      'f:10: log.level: "loud" is not a choice; choose among trace, debug, info, warn, error',
    ]);
  });

  it("carries the problems for programs", () => {
    try {
      parseConfig(file({ network: "mtu: 68" }), "f");
      expect.unreachable();
    } catch (error) {
      expect((error as { details: unknown }).details).toEqual({
        file: "f",
        problems: [{ line: 8, key: "networks[0].mtu", message: "68 is too small; write at least 576" }],
      });
    }
  });

  it("names a duplicate key, beside the other problems", () => {
    expect(refusal(file({ network: "mtu: 68\nmtu: 60" })).split("\n")).toEqual([
      "f:8: networks[0].mtu: 60 is too small; write at least 576",
      "f:9: mtu appears twice in one mapping; keep one of them",
    ]);
  });

  it.each([
    ["bad indentation", "networks:\n  - name: prov\n   interface: eth1\n", "f:3: not YAML: "],
    ["an open quote", 'stateDirectory: "/var\n', "f:2: not YAML: Missing closing"],
    ["a tab", "log:\n\tlevel: info\n", "f:2: not YAML: "],
    ["two documents", `${GOOD}---\n${GOOD}`, "f:8: not YAML: "],
    ["an unknown tag", file({ top: "chap: !ours one-way" }), "f:8: not YAML: Unresolved tag: !ours"],
    ["an alias of nothing", file({ network: "dns: *dns" }), "f:8: there is no anchor &dns above; "],
  ])("says where the YAML breaks: %s", (_, text, start) => {
    expect(refusal(text).slice(0, start.length)).toBe(start);
  });

  it("withstands an alias bomb", () => {
    const bomb = ["a: &a [x, x, x, x, x, x, x, x, x]", "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]"];
    bomb.push("c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]", "d: [*c, *c, *c, *c, *c, *c, *c, *c, *c]");
    expect(refusal(bomb.join("\n"))).toContain("f: not YAML: Excessive alias count");
  });
});

describe("a file on disk", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "ingot-config-"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  it("is loaded, and the check tells what it sets up", async () => {
    const path = join(directory, "good.yaml");
    await writeFile(path, file({ network: "pool: [{ from: 10.20.0.100, to: 10.20.0.199 }]" }));
    expect((await loadConfig(path)).networks[0]?.name).toBe("prov");
    expect(await checkConfig(path)).toEqual({
      ok: true,
      report: `${path} is good
network prov: 10.20.0.0/24 on eth1 as 10.20.0.1, 100 pool addresses, disks at 10.20.0.1:3260, tgtd 1
state in /var/lib/ingot, pool in /var/lib/ingot-pool`,
    });
  });

  it("is checked without an exception", async () => {
    const path = join(directory, "bad.yaml");
    await writeFile(path, file({ network: "mtu: 68" }));
    expect(await checkConfig(path)).toEqual({
      ok: false,
      report: `${path}:8: networks[0].mtu: 68 is too small; write at least 576\n1 problem`,
    });
  });

  it("is missed with a remedy", async () => {
    const path = join(directory, "none.yaml");
    await expect(loadConfig(path)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: `${path}: there is no such file; copy systemd/ingot.yaml.example there, or name another file with --config`,
    });
    await expect(loadConfig(directory)).rejects.toThrow("that is a directory; name the file");
  });

  it("comes as an example that passes", async () => {
    const config = await loadConfig(join(import.meta.dirname, "../../../systemd/ingot.yaml.example"));
    expect(config.networks[0]).toMatchObject({ name: "prov", interface: "eth1", tgtd: { control: 1 } });
  });
});
