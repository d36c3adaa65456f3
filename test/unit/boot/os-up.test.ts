import pino from "pino";
import { describe, expect, it } from "vitest";
import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import type { BootEvent } from "../../../src/boot/boot-event.ts";
import { noteOsUp } from "../../../src/boot/os-up.ts";
import type { Mac } from "../../../src/values/mac.ts";
import { bootEntry, MemoryRecords, mac, nodeFinder } from "./boot-fixtures.ts";

const log = pino({ level: "silent" });
const OTHER = "52:54:00:00:00:02" as Mac;

/** What one event at 500 makes of an entry, and in how many commits. */
async function after(entry: Partial<BootEntry>, event: Partial<BootEvent>, ...more: Partial<BootEvent>[]) {
  const records = new MemoryRecords();
  await records.commit([
    { collection: "nodes", key: "node-1", value: { id: "node-1", nics: [{ mac, role: "boot", network: "rack1" }] } },
    { collection: "bootEntries", key: "node-1", value: bootEntry(entry) },
  ]);
  const sink = noteOsUp(nodeFinder(records), records, log);
  for (const one of [event, ...more]) sink({ mac, at: 500, ...one } as BootEvent);
  const { bootedAt, disarmedAt } = records.collection<BootEntry>("bootEntries").get("node-1")!;
  return { bootedAt, disarmedAt, commits: records.commits - 1 };
}

describe("an OS that is up", () => {
  const login = { stage: "iscsi-login-os" } as const;
  const ready = { stage: "ready" } as const;
  const rows: [name: string, entry: Partial<BootEntry>, event: Partial<BootEvent>, noted: object][] = [
    ["disarms by its login", {}, login, { disarmedAt: 500, bootedAt: undefined, commits: 1 }],
    ["disarms by its phone-home", {}, ready, { disarmedAt: 500, bootedAt: undefined, commits: 1 }],
    ["once: is noted by its phone-home", { once: true }, ready, { disarmedAt: 500, bootedAt: 500 }],
    [
      "once: disarms by its login, which is not the end",
      { once: true },
      login,
      { disarmedAt: 500, bootedAt: undefined },
    ],
    ["once: is noted by its login if it won't phone home", { once: true, phonesHome: false }, login, { bootedAt: 500 }],
    [
      "once: is noted once",
      { once: true, bootedAt: 7, disarmedAt: 8 },
      ready,
      { bootedAt: 7, disarmedAt: 8, commits: 0 },
    ],
    ["is not the firmware", { once: true }, { stage: "iscsi-login-firmware" }, { disarmedAt: undefined, commits: 0 }],
    ["is not one of before the entry", { once: true, createdAt: 501 }, ready, { disarmedAt: undefined, commits: 0 }],
    ["is not that of another NIC", {}, { ...ready, mac: OTHER }, { disarmedAt: undefined, commits: 0 }],
    ["disarms a single time", { disarmedAt: 8 }, login, { disarmedAt: 8, commits: 0 }],
  ];
  it.each(rows)("%s", async (_name, entry, event, noted) => {
    expect(await after(entry, event)).toMatchObject(noted);
  });

  it("costs one commit per boot, however often it reports", async () => {
    expect(await after({}, login, ready, ready, login)).toMatchObject({ disarmedAt: 500, commits: 1 });
  });
});
