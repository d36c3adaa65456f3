/**
 * How many clients a second get an address: perfdhcp against Ingot, Kea, dnsmasq and the npm package `dhcp`, each on the
 * same veth pair and disk, as they log and store by default. A score is the highest offered rate at which at most 1 % of
 * the exchanges begun by a DISCOVER do not end in an ACK; every probe has clients that the server never saw.
 * Ingot's ACKs wait for fdatasync; Kea and dnsmasq write their lease files without.
 * usage: npm run bench -- dhcp [--json] [--rounds N] [--case TEXT]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { installPackages } from "../lab/packages.ts";
import { highestRate } from "./dhcp/highest-rate.ts";
import { type Exchanges, perfdhcp } from "./dhcp/perfdhcp.ts";
import { benchServers, CLIENT_ADDRESS, CLIENTS, SERVER_ADDRESS, type StartServer } from "./dhcp/servers.ts";
import { sideBySide } from "./measure/side-by-side.ts";

const SECONDS = 2;
const MOST_LOST = 0.01;
/** What perfdhcp may fall behind a rate and still be said to have offered it. */
const LEAST_OFFERED = 0.97;
const MANY_LEASES = 100_000;
const LATENCY_RATE = 2000;

installPackages(["kea-dhcp4-server", "kea-admin", "dnsmasq-base", "iproute2"]);
const folder = mkdtempSync(join(tmpdir(), "ingot-bench-dhcp-"));
const { namespaces, ingot, kea, dnsmasq, npmDhcp } = benchServers(folder);
const scores = new Map<StartServer, number>();
try {
  await sideBySide(
    "dhcp",
    [
      beside("beside kea", "kea", kea),
      beside("beside dnsmasq", "dnsmasq", dnsmasq),
      beside("beside npm dhcp", "npm dhcp", npmDhcp),
      {
        case: "with 100,000 leases",
        unit: "DORA/s",
        better: "higher",
        ours: () => score(ingot, MANY_LEASES),
        peer: "ingot, 100 leases",
        theirs: () => score(ingot, 100),
      },
      {
        case: `ACK p99 at ${LATENCY_RATE}/s`,
        unit: "ms",
        better: "lower",
        ours: () => ackLatency(ingot),
        peer: "kea",
        theirs: () => ackLatency(kea),
      },
    ],
    5,
  );
} finally {
  await namespaces.remove();
  rmSync(folder, { recursive: true, force: true });
}

function beside(name: string, peer: string, theirs: StartServer) {
  const sides = { ours: () => score(ingot), peer, theirs: () => score(theirs) };
  return { case: name, unit: "DORA/s", better: "higher" as const, ...sides };
}

async function score(start: StartServer, leases?: number): Promise<number> {
  const server = await start(leases);
  let probe = 0;
  const holdsOnce = (rate: number) => {
    probe += 1;
    const { discovers, acks } = offer(rate, probe, server.localPort);
    return discovers >= rate * SECONDS * LEAST_OFFERED && acks >= discovers * (1 - MOST_LOST);
  };
  try {
    // a server in service is warm
    for (const rate of [200, 1000]) holdsOnce(rate);
    // one pause of the machine is no verdict: each rate may be tried twice
    const found = await highestRate(scores.get(start) ?? 1000, async (rate) => holdsOnce(rate) || holdsOnce(rate));
    scores.set(start, Math.max(found, 20));
    return found;
  } finally {
    await server.end();
  }
}

async function ackLatency(start: StartServer): Promise<number> {
  const server = await start();
  try {
    const { ackMs } = offer(LATENCY_RATE, 1, server.localPort);
    return ackMs[Math.floor(ackMs.length * 0.99)] ?? Number.NaN;
  } finally {
    await server.end();
  }
}

function offer(rate: number, probe: number, localPort?: number): Exchanges {
  return perfdhcp({
    namespaces,
    namespace: CLIENTS,
    address: CLIENT_ADDRESS,
    server: SERVER_ADDRESS,
    rate,
    seconds: SECONDS,
    clients: rate * SECONDS + 1,
    firstMac: `02:0c:${probe.toString(16).padStart(2, "0")}:00:00:00`,
    ...(localPort === undefined ? {} : { localPort }),
  });
}
