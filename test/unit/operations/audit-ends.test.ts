import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { AuditLog } from "../../../src/audit/audit-log.ts";
import { systemClock } from "../../../src/clock.ts";
import { auditEnds, auditLostEnds } from "../../../src/operations/audit-ends.ts";
import type { OperationRecord, OperationState } from "../../../src/operations/operation.ts";
import { HeldRecords } from "../../fakes/held-records.ts";

const log = pino({ level: "silent" });

let directory: string;
let audit: AuditLog;
let records: HeldRecords;

const ended = async (id: string, state: OperationState, endedAt: number): Promise<OperationRecord> => {
  const value = { id, kind: "power", summary: `power of ${id}`, project: "lab", requestedBy: "ada", state, endedAt };
  await records.commit([{ collection: "operations", key: id, value }]);
  return value as unknown as OperationRecord;
};
const audited = async () =>
  (await audit.last(100, () => true)).reverse().map(({ operation, state }) => [operation, state]);

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "ingot-ends-"));
  audit = await AuditLog.open({ directory, clock: systemClock, maxBytes: 1024 ** 2 });
  records = new HeldRecords();
});
afterEach(async () => {
  await audit.close();
  rmSync(directory, { recursive: true });
});

it("writes the ends that a dying process kept from the audit log, each once, and no other", async () => {
  const now = Date.now();
  // of a log whose oldest entries are gone
  await ended("op-old", "done", now - 3_600_000);
  await auditEnds(audit, log)(await ended("op-told", "done", now));
  await ended("op-lost-later", "undone", now + 2);
  await ended("op-lost", "done", now + 1);
  await ended("op-running", "running", now);
  const all = [
    ["op-told", "done"],
    ["op-lost", "done"],
    ["op-lost-later", "undone"],
  ];
  for (let start = 0; start < 2; start++) {
    await auditLostEnds(audit, records, log);
    expect(await audited()).toEqual(all);
  }
  expect((await audit.last(1, () => true))[0]).toMatchObject({ kind: "operation", who: "ada", project: "lab" });
});

it("writes the end of one that was stuck, though that it was stuck is there", async () => {
  const stuck = await ended("op-1", "stuck", Date.now());
  await auditEnds(audit, log)(stuck);
  await ended("op-1", "done", Date.now());
  await auditLostEnds(audit, records, log);
  expect(await audited()).toEqual([
    ["op-1", "stuck"],
    ["op-1", "done"],
  ]);
});
