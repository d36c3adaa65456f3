import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { LeaseRecord } from "../../src/leases/lease.ts";
import { createLog } from "../../src/log.ts";
import { Store } from "../../src/store/store.ts";
import { Lines, Namespaces } from "./namespaces.ts";
import { acksInTrace } from "./syscall-trace.ts";
import { until } from "./until.ts";

const SERVERS = "ingot-dl-s";
const CLIENTS = "ingot-dl-c";
const SERVER = "10.90.0.1";
const CLIENT = "10.90.0.2";
/** Exchanges a second: many at a time, whatever the machine does beside them. */
const RATE = 300;
/** OFFERs and ACKs captured before the crash, in bytes. */
const CAPTURED_BYTES = 2000 * 300;

let namespaces: Namespaces;
let folder: string;
let configFile: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-durable-leases-"));
  configFile = join(folder, "ingot.yaml");
  namespaces = new Namespaces(SERVERS, CLIENTS);
  namespaces.cable(
    { namespace: SERVERS, interface: "veth0", addresses: [`${SERVER}/16`] },
    { namespace: CLIENTS, interface: "veth0", addresses: [`${CLIENT}/16`] },
  );
  for (const name of ["state", "run"]) mkdirSync(join(folder, name));
  const network = {
    ...{ name: "rack", interface: "veth0", address: SERVER, subnet: "10.90.0.0/16" },
    ...{ pool: [{ from: "10.90.1.0", to: "10.90.200.255" }], portals: [{ address: SERVER }], tgtd: { control: 0 } },
    ...{ dhcp: "server", besideForeignDhcp: true },
  };
  const [stateDirectory, runtimeDirectory] = [join(folder, "state"), join(folder, "run")];
  writeFileSync(configFile, JSON.stringify({ stateDirectory, runtimeDirectory, networks: [network] }));
});

afterAll(async () => {
  await namespaces?.remove();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

it("has every lease whose ACK was on the wire when ingotd is killed, and each was synced before its ACK was sent", async () => {
  const trace = join(folder, "trace");
  const calls = "trace=fdatasync,sendto,sendmsg,sendmmsg,write,writev,pwrite64";
  const strace = ["strace", "-f", "--seccomp-bpf", "-o", trace, "-s", "1000000", "-xx", "-e", calls];
  const main = resolve(import.meta.dirname, "../../src/main.ts");
  const ingotd = namespaces.start(SERVERS, [...strace, process.execPath, main, "--config", configFile]);
  await new Lines(ingotd).next(/ingotd is ready/, 60_000);

  const capture = join(folder, "replies.pcap");
  const tcpdump = ["tcpdump", "-i", "veth0", "-n", "-U", "--immediate-mode", "-Z", "root", "-w", capture];
  const listener = namespaces.start(CLIENTS, [...tcpdump, "udp src port 67 and src host", SERVER]);
  await new Lines(listener, "stderr").next(/listening on/);
  const load = ["-r", String(RATE), "-R", "50000", "-p", "120"];
  namespaces.start(CLIENTS, ["perfdhcp", "-4", "-l", CLIENT, ...load, SERVER]);
  await until("replies on the wire", () => statSync(capture).size > CAPTURED_BYTES, 60_000);

  const exit = once(ingotd, "exit");
  process.kill(Number(readFileSync(join(folder, "state/lock"), "utf8")), "SIGKILL");
  await exit;
  const ended = once(listener, "exit");
  listener.kill("SIGINT");
  await ended;

  const fields = ["-T", "fields", "-E", "occurrence=f", "-e", "dhcp.ip.your", "-e", "dhcp.hw.mac_addr"];
  const acks = namespaces.run(CLIENTS, ["tshark", "-r", capture, "-Y", "dhcp.option.dhcp == 5", ...fields]);
  const onWire = acks
    .trim()
    .split("\n")
    .map((line) => line.split("\t") as [address: string, mac: string]);
  expect(onWire.length).toBeGreaterThan(200);
  const store = await Store.open(join(folder, "state"), createLog("error"));
  const leases = store.collection<LeaseRecord>("leases");
  const lost = onWire.filter(([address, mac]) => leases.get(address)?.mac !== mac);
  await store.close();
  expect(lost).toEqual([]);

  const sent = acksInTrace(readFileSync(trace, "utf8"));
  expect(sent.length).toBeGreaterThanOrEqual(onWire.length);
  expect(sent.filter(({ synced }) => !synced)).toEqual([]);
}, 180_000);
