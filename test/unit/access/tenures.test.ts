import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { alignTenures, forgetTenures, keepTenures } from "../../../src/audit/keep-tenures.ts";
import { TENURES, type Tenure } from "../../../src/audit/tenure.ts";
import { tenuresAt, usageOf } from "../../../src/audit/usage.ts";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { createLog } from "../../../src/log.ts";
import type { Records } from "../../../src/store/records.ts";
import { Store } from "../../../src/store/store.ts";

const HOUR = 3_600_000;
const GIB = 1024 ** 3;
const START = Date.UTC(2026, 9, 31, 22);

let directory: string;
let store: Store;
let records: Records;
let now: number;
const clock: Clock = { ...systemClock, now: () => now };

const entry = (disk: string, project = "lab") => ({
  ...{ node: "node-1", nodeName: "n1", project, disk, mac: "52:54:00:00:00:01", network: "prov", address: "10.0.0.9" },
  createdAt: now,
});
const disk = (changes: object = {}) => ({
  id: "disk-1",
  name: "root",
  project: "lab",
  sizeBytes: 10 * GIB,
  createdAt: now,
  ...changes,
});
const put = (collection: string, key: string, value: object | null) => records.commit([{ collection, key, value }]);
const tenures = () => store.collection<Tenure>(TENURES);
const at = (moment: number, kind: string) => tenuresAt(tenures(), moment, (one) => one.kind === kind);

beforeEach(async () => {
  now = START;
  directory = mkdtempSync(join(tmpdir(), "ingot-tenures-"));
  store = await Store.open(directory, createLog("silent"));
  records = keepTenures(store, clock);
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

describe("tenures", () => {
  it("tell who had a node, when and by whose word", async () => {
    await put("operations", "op-1", { id: "op-1", requestedBy: "user:ada", holds: ["node-1"] });
    await put("bootEntries", "node-1", entry("disk-1"));
    // its OS is up: the same tenure
    now += 1000;
    await put("bootEntries", "node-1", { ...entry("disk-1"), createdAt: START, bootedAt: now });
    now += HOUR;
    await put("bootEntries", "node-1", null);
    now += HOUR;
    await put("bootEntries", "node-1", entry("disk-2", "dev"));
    now += HOUR;
    expect(at(START, "node")).toMatchObject([
      { project: "lab", requestedBy: "user:ada", operation: "op-1", address: "10.0.0.9" },
    ]);
    expect(at(START + 1.5 * HOUR, "node")).toEqual([]);
    expect(at(now, "node")).toMatchObject([{ project: "dev", disk: "disk-2" }]);
    expect(tenures().size).toBe(2);
  });

  it("tell whose a disk was, how large, and on which node", async () => {
    await put("disks", "disk-1", disk());
    now += HOUR;
    await put("disks", "disk-1", disk({ node: "node-1", createdAt: START }));
    await put("disks", "disk-1", disk({ node: "node-1", clean: false, createdAt: START }));
    now += HOUR;
    await put("disks", "disk-1", null);
    expect(at(START + 1, "disk")).toEqual([expect.not.objectContaining({ node: "node-1" })]);
    expect(at(START + HOUR, "disk")).toMatchObject([{ node: "node-1", project: "lab" }]);
    expect(at(now, "disk")).toEqual([]);
    expect(tenures().size).toBe(2);
  });

  it("add up to node-hours and GiB-hours per project and month", async () => {
    await records.commit([
      { collection: "bootEntries", key: "node-1", value: entry("disk-1") },
      { collection: "disks", key: "disk-1", value: disk() },
    ]);
    now += 5 * HOUR;
    await put("disks", "disk-2", { ...disk(), id: "disk-2", project: "dev" });
    now += HOUR;
    const usage = (month: string) => usageOf(tenures(), month, now);
    expect(usage("2026-10")).toEqual([{ month: "2026-10", project: "lab", nodeHours: 2, gibHours: 20 }]);
    expect(usage("2026-11")).toEqual([
      { month: "2026-11", project: "dev", nodeHours: 0, gibHours: 10 },
      { month: "2026-11", project: "lab", nodeHours: 4, gibHours: 40 },
    ]);
    expect(usage("2026-12")).toEqual([]);
  });

  it("stay as they were when a commit fails", async () => {
    await put("disks", "disk-1", disk());
    const failing: Records = {
      collection: (name) => store.collection(name),
      commit: () => Promise.reject(new Error("full")),
    };
    await expect(
      keepTenures(failing, clock).commit([{ collection: "disks", key: "disk-1", value: null }]),
    ).rejects.toThrow();
    expect(at(now, "disk")).toHaveLength(1);
  });

  it("are brought in line with records that are older than they, once", async () => {
    await store.commit([
      { collection: "disks", key: "disk-1", value: disk() },
      { collection: "bootEntries", key: "node-1", value: entry("disk-1") },
    ]);
    now += HOUR;
    await alignTenures(store, clock);
    expect([...at(START, "disk"), ...at(START, "node")]).toHaveLength(2);
    await alignTenures(store, clock);
    expect(tenures().size).toBe(2);
    await store.commit([{ collection: "disks", key: "disk-1", value: null }]);
    now += HOUR;
    await alignTenures(store, clock);
    expect(at(now, "disk")).toEqual([]);
    expect(at(START, "disk")).toHaveLength(1);
  });

  it("are forgotten in the end, those that last never", async () => {
    await put("disks", "disk-1", disk());
    await put("disks", "disk-2", { ...disk(), id: "disk-2" });
    now += HOUR;
    await put("disks", "disk-2", null);
    now += 10 * 24 * HOUR;
    await forgetTenures(store, clock, 10);
    expect(tenures().size).toBe(2);
    now += 1;
    await forgetTenures(store, clock, 10);
    expect(at(now, "disk")).toMatchObject([{ disk: "disk-1" }]);
    expect(tenures().size).toBe(1);
  });
});
