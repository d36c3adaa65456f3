import { beforeEach, describe, expect, it } from "vitest";
import { leaseOwners } from "../../../src/boot/address-owners.ts";
import { type BootAnswers, createBootAnswers } from "../../../src/boot/boot-answers.ts";
import type { BootClient } from "../../../src/boot/boot-client.ts";
import type { BootEvent } from "../../../src/boot/boot-event.ts";
import { bootFileEvents } from "../../../src/boot/boot-file-events.ts";
import { sessionOf } from "../../../src/boot/boot-session.ts";
import type { FileTransferOutcome } from "../../../src/boot/file-transfer.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import type { Mac } from "../../../src/values/mac.ts";
import { bootEntry, MemoryRecords, mac, nodeFinder } from "./boot-fixtures.ts";

const ipxe: BootClient = { mac, stage: "ipxe", firmware: "bios", hasHttp: true, hasIscsi: true };
const address = (last: number) => `10.20.0.${last}` as Ipv4;

let now: number;
let arming: string;
let records: MemoryRecords;
let answers: BootAnswers;
const clock = { now: () => now, sleep: () => Promise.resolve() };

async function put(collection: string, key: string, value: object | null) {
  await records.commit([{ collection, key, value }]);
}

beforeEach(() => {
  now = 1000;
  arming = "rearm";
  records = new MemoryRecords();
  const networks = [
    { name: "rack1", unknown: "exit" },
    { name: "rack2", unknown: "hold" },
  ];
  answers = createBootAnswers({
    owners: leaseOwners(records, clock),
    findNode: nodeFinder(records),
    records,
    config: () => ({ networks, loaders: { bios: ["undionly.kpxe"] }, arming }) as never,
    bootOf: (client) => sessionOf(undefined, { mac: client.mac, stage: "dhcp-firmware", at: 0 }),
    clock,
  });
});

describe("BootAnswers", () => {
  it("follows records and configuration at once", async () => {
    const answer = (network = "rack1") => answers.answer(ipxe, "http", network);
    expect(answer("rack1")).toEqual({ kind: "exit" });
    expect(answer("rack2")).toEqual({ kind: "hold" });
    await put("nodes", "node-1", { id: "node-1", nics: [{ mac, role: "boot", network: "rack1" }] });
    expect(answer("rack2")).toEqual({ kind: "exit" });
    await put("bootEntries", "node-1", bootEntry());
    expect(answer()).toEqual({ kind: "sanboot", entry: bootEntry() });
    expect(answer("rack2")).toEqual({ kind: "refuse", reason: "wrong-network", entry: bootEntry() });
    await put("nodes", "node-1", {
      id: "node-1",
      nics: [{ mac: "52:54:00:00:00:02", role: "boot", network: "rack1" }],
    });
    expect(answer("rack2")).toEqual({ kind: "hold" });
    await put("nodes", "node-2", { id: "node-2", nics: [{ mac, role: "boot", network: "rack1" }] });
    expect(answer("rack2")).toEqual({ kind: "exit" });
  });

  it("withholds the secret of an entry whose OS was up, unless the policy is open", async () => {
    await put("nodes", "node-1", { id: "node-1", nics: [{ mac, role: "boot", network: "rack1" }] });
    const entry = bootEntry({ disarmedAt: 500 });
    await put("bootEntries", "node-1", entry);
    expect(answers.answer(ipxe, "http", "rack1")).toEqual({ kind: "refuse", reason: "unarmed", entry });
    arming = "strict";
    expect(answers.answer(ipxe, "http", "rack1")).toEqual({ kind: "refuse", reason: "unarmed", entry });
    arming = "open";
    expect(answers.answer(ipxe, "http", "rack1")).toEqual({ kind: "sanboot", entry });
    arming = "rearm";
    await put("bootEntries", "node-1", bootEntry());
    expect(answers.answer(ipxe, "http", "rack1")).toEqual({ kind: "sanboot", entry: bootEntry() });
  });

  it("tells nobody anything on a network that is not configured", () => {
    expect(answers.answer(ipxe, "dhcp", "rack9")).toEqual({ kind: "ignore" });
  });

  it("knows whose an address is: by pin or running lease, on its network", async () => {
    const lease = (last: number, facts: object) =>
      put("leases", address(last), { address: address(last), mac, network: "rack1", ...facts });
    await lease(1, { state: "pinned", expiresAt: 0 });
    await lease(2, { state: "bound", expiresAt: 1001 });
    await lease(3, { state: "declined", expiresAt: 9999 });
    const owned = () => [1, 2, 3, 4].map((last) => answers.owns(mac, address(last), "rack1"));
    expect(owned()).toEqual([true, true, false, false]);
    now = 1001;
    expect(owned()).toEqual([true, false, false, false]);
    expect(answers.owns(mac, address(1), "rack2")).toBe(false);
    expect(answers.owns("52:54:00:00:00:02" as Mac, address(1), "rack1")).toBe(false);
    expect(answers.ownerOf(address(1), "rack1")).toBe(mac);
    expect(answers.ownerOf(address(4), "rack1")).toBeUndefined();
  });
});

describe("bootFileEvents", () => {
  const fetched = { stage: "boot-file", seconds: 0.1, retransmissions: 2 } as const;
  const refused = (reason: string) => ({ stage: "refused", reason }) as const;
  it.each<[FileTransferOutcome, string, object | undefined]>([
    ["complete", "undionly.kpxe", fetched],
    ["unconfirmed", "/undionly.kpxe", fetched],
    ["size-query", "undionly.kpxe", undefined],
    ["aborted", "undionly.kpxe", refused("boot-file-aborted")],
    ["timeout", "undionly.kpxe", refused("boot-file-timeout")],
    ["refused", "undionly.kpxe", refused("boot-file-refused")],
    ["complete", "vmlinuz", undefined],
    ["timeout", "vmlinuz", undefined],
  ])("%s %s is seen as %o", async (outcome, file, seen) => {
    await put("leases", address(1), { address: address(1), mac, network: "rack1", state: "pinned", expiresAt: 0 });
    const events: BootEvent[] = [];
    const isLoader = (name: string) => name === "undionly.kpxe";
    const sink = bootFileEvents({ answers, isLoader, clock }, "rack1", (event) => events.push(event));
    const transfer = { file, bytes: 7, seconds: 0.1, retransmissions: 2, outcome };
    sink({ client: address(9), ...transfer });
    expect(events).toEqual([]);
    sink({ client: address(1), ...transfer });
    const event = { mac, at: 1000, network: "rack1", address: address(1), file: "undionly.kpxe", bytes: 7 };
    expect(events).toEqual(seen ? [{ ...event, ...seen }] : []);
  });
});
