/**
 * What DHCP does on a network that another server may be on, as machines there see it.
 *
 *   mo-dm-s: bridge net 10.97.0.1 ---- mo-dm-o: nic 10.97.0.2, dnsmasq or Kea
 *                                `---- mo-dm-c: nic, a client
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { NetworkConfig } from "../../src/config/schema.ts";
import type { DhcpState } from "../../src/dhcp/standing.ts";
import type { Mac } from "../../src/values/mac.ts";
import { decodeDhcp } from "../../src/wire/dhcp/decode.ts";
import { formatDhcp } from "../../src/wire/dhcp/format.ts";
import { dhcpPacket } from "../fixtures/dhcp-packets.ts";
import { type ForeignDhcp, foreignDhcp } from "../lab/foreign-dhcp.ts";
import { bootEntry } from "../unit/boot/boot-fixtures.ts";
import { networkPlan } from "./dhcp-service.ts";
import { Lines, Namespaces } from "./namespaces.ts";
import { startUdhcpc, writeUdhcpcScript } from "./udhcpc.ts";
import { until } from "./until.ts";

const [HERE, OTHER, CLIENT] = ["mo-dm-s", "mo-dm-o", "mo-dm-c"];
const NET = "10.97.0";
const OTHER_ADDRESS = `${NET}.2`;
const OURS = /^bound 10\.97\.0\.1\d\d /;
const THEIRS = /^bound 10\.97\.0\.[56]\d /;
/** Machines of the captured packets, both nodes with a disk to boot. */
const BIOS_MAC = "52:54:00:aa:00:01";
const UEFI_MAC = "52:54:00:aa:00:04";

/** What only a server has. */
const NO_ADDRESSES = { pool: [], router: undefined, dns: [], domain: undefined };

let namespaces: Namespaces;
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-modes-"));
  writeUdhcpcScript(directory);
  namespaces = new Namespaces(HERE, OTHER, CLIENT);
  const here = (...words: string[]) => namespaces.run(HERE, ["ip", ...words]);
  here("link", "add", "net", "type", "bridge", "forward_delay", "0");
  here("address", "add", `${NET}.1/24`, "dev", "net", "brd", "+");
  here("link", "set", "net", "up");
  const other = { namespace: OTHER, interface: "nic", addresses: [`${OTHER_ADDRESS}/24`] };
  namespaces.cable({ namespace: HERE, interface: "to-other" }, other);
  namespaces.cable({ namespace: HERE, interface: "to-client" }, { namespace: CLIENT, interface: "nic" });
  for (const port of ["to-other", "to-client"]) here("link", "set", port, "master", "net");
});
afterEach(() => namespaces.stopAll());
afterAll(async () => {
  await namespaces.remove();
  rmSync(directory, { recursive: true, force: true });
});

async function startOther(kind: ForeignDhcp) {
  const { argv, env } = foreignDhcp({ kind, directory: join(directory, kind), interface: "nic", net: NET });
  const child = namespaces.start(OTHER, argv, { env });
  const lines = new Lines(child, kind === "dnsmasq" ? "stderr" : "stdout");
  await lines.next(kind === "dnsmasq" ? /DHCP, IP range/ : /DHCP4_STARTED/);
  return child;
}

/** Our DHCP in this mode, on real sockets. */
async function startOurs(changes: Partial<Record<keyof NetworkConfig, unknown>>) {
  const macs = [BIOS_MAC, UEFI_MAC] as Mac[];
  const nodes = macs.map((mac) => ({ id: mac, name: mac, nics: [{ mac, role: "boot", network: "net" }] }));
  const entries = macs.map((mac) => bootEntry({ node: mac, mac, network: "net" }));
  const argument = JSON.stringify({ network: networkPlan("net", NET, 1, changes), nodes, entries });
  const program = `${import.meta.dirname}/programs/serve-modes.ts`;
  const child = namespaces.start(HERE, [process.execPath, program, argument]);
  const lines = new Lines(child);
  const asked = new Lines(child);
  await lines.next(/^ready$/);
  const tell = (line: string) => child.stdin?.write(`${line}\n`);
  const state = async () => {
    tell("state");
    return JSON.parse((await asked.next(/^state /)).slice("state ".length)) as DhcpState;
  };
  const becomes = (role: DhcpState["role"]) => until(`the role ${role}`, async () => (await state()).role === role);
  const sees = (...others: string[]) =>
    until(
      `sight of ${others}`,
      async () => String((await state()).foreign.map((one) => one.address)) === String(others),
    );
  return { lines, tell, state, becomes, sees };
}

/** What a client gets, if anything, within eight tries. */
async function askAddress(): Promise<string> {
  namespaces.run(CLIENT, ["ip", "address", "flush", "dev", "nic"]);
  const { child, lines } = startUdhcpc(namespaces, CLIENT, directory, "-n", "-q", "-t", "8");
  const said = await lines.next(/^bound|^leasefail/);
  child.kill();
  return said;
}

/** Sends a captured packet; answers the lines of what comes back. */
async function ask(packet: string, { from = 68, to = "255.255.255.255", port = 67 } = {}): Promise<Lines> {
  const program = `${import.meta.dirname}/programs/ask-dhcp.ts`;
  const packets = [dhcpPacket(packet).bytes.toString("hex")];
  const argument = JSON.stringify({ interface: "nic", from, to, port, packets });
  const lines = new Lines(namespaces.start(CLIENT, [process.execPath, program, argument]));
  await lines.next(/^sent$/);
  return lines;
}

const text = (line: string) => formatDhcp(decodeDhcp(Buffer.from(line.split(" ")[2]!, "hex")));

describe.each(["dnsmasq", "kea"] as const)("beside %s", { timeout: 60_000 }, (kind) => {
  it("a server gives nothing out, says why, and begins when the other one is gone", async () => {
    const other = await startOther(kind);
    const ours = await startOurs({});
    await ours.sees(OTHER_ADDRESS);
    expect(JSON.parse(await ours.lines.next(/another DHCP server/))).toMatchObject({
      level: "error",
      server: OTHER_ADDRESS,
      remedy: expect.stringMatching(/proxy or auto/),
    });
    expect(await askAddress()).toMatch(THEIRS);
    expect((await ours.state()).role).toBe("silent");
    other.kill("SIGKILL");
    await ours.becomes("server");
    expect(await askAddress()).toMatch(OURS);
  });

  it("auto becomes a proxy: boot answers from us, addresses from the other, and no lease", async () => {
    await startOther(kind);
    const ours = await startOurs({ dhcp: "auto" });
    await ours.becomes("proxy");
    const reply = text(await (await ask("ipxe-rom-discover")).next(/^reply 10\.97\.0\.1 /));
    expect(reply).toContain(`file "http://10.97.0.1/boot/${BIOS_MAC}"`);
    expect(reply).toContain('60 vendorClass "PXEClient"');
    expect(reply).not.toMatch(/yiaddr|leaseSeconds/);
    expect(await askAddress()).toMatch(THEIRS);
  });
});

describe("another server that comes later", { timeout: 60_000 }, () => {
  it("is reported loudly by a server, which goes on", async () => {
    const ours = await startOurs({});
    await ours.becomes("server");
    expect(await askAddress()).toMatch(OURS);
    await startOther("kea");
    await ours.sees(OTHER_ADDRESS);
    await ours.lines.next(/another DHCP server has come/);
    expect((await ours.state()).role).toBe("server");
  });

  it("is known by two clients that name it, where port 68 is taken; auto becomes a proxy", async () => {
    const taken = namespaces.start(HERE, ["socat", "-u", "UDP4-RECV:68", "OPEN:/dev/null"]);
    await until("port 68 taken", async () => namespaces.run(HERE, ["ss", "-lun"]).includes(":68 "));
    const ours = await startOurs({ dhcp: "auto", address: `${NET}.3` });
    await ours.becomes("server");
    expect((await ours.state()).trouble).toMatchObject({
      message: expect.stringContaining(":68 on net"),
      remedy: expect.any(String),
    });
    await ask("ipxe-rom-request"); // of an offer by 10.97.0.1, which is not us here
    await ours.sees(`${NET}.1`);
    expect((await ours.state()).role).toBe("server");
    await ask("ovmf-pxe-request", { from: 70 }); // the same by another machine
    await ours.becomes("proxy");
    expect((await ours.state()).foreign).toMatchObject([{ address: `${NET}.1`, by: "request" }]);
    taken.kill();
  });

  it("is served beside when that is allowed", async () => {
    await startOther("kea");
    const ours = await startOurs({});
    await ours.sees(OTHER_ADDRESS);
    expect((await ours.state()).role).toBe("silent");
    ours.tell("beside");
    await ours.becomes("server");
  });
});

describe("proxy and off", { timeout: 60_000 }, () => {
  it("a proxy answers firmware on port 4011", async () => {
    await startOurs({ dhcp: "proxy", ...NO_ADDRESSES });
    namespaces.run(CLIENT, ["ip", "address", "replace", `${NET}.88/24`, "dev", "nic"]);
    const lines = await ask("ovmf-pxe-request-4011", { to: `${NET}.1`, port: 4011 });
    expect(text(await lines.next(/^reply/))).toMatch(
      /ciaddr 10\.97\.0\.88\n.*file "snponly\.efi".*53 messageType ack/s,
    );
  });

  it("off answers nothing on either port", async () => {
    const ours = await startOurs({ dhcp: "off", ...NO_ADDRESSES });
    namespaces.run(CLIENT, ["ip", "address", "replace", `${NET}.88/24`, "dev", "nic"]);
    const [one, two] = [await ask("ipxe-rom-discover"), await ask("ovmf-pxe-request-4011", { from: 70, port: 4011 })];
    for (const why of [/dhcp is off/, /dhcp is off/]) await ours.lines.next(why);
    expect([one, two].map(({ all }) => all)).toEqual([["sent"], ["sent"]]);
  });
});
