import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { open as openFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AuditLog } from "../../../src/audit/audit-log.ts";
import { verifyChain } from "../../../src/audit/verify.ts";
import { systemClock } from "../../../src/clock.ts";

let directory: string;
let log: AuditLog;

const open = (sizes: { maxBytes?: number; fileBytes?: number } = {}) =>
  AuditLog.open({ directory, clock: systemClock, maxBytes: 1024 ** 2, ...sizes });
const note = (path: string) => ({ kind: "request" as const, who: "user:ada", method: "POST", path });
const lines = async () => Array.fromAsync(log.lines());
const files = () => readdirSync(directory).sort();
const verdict = () => verifyChain(log.lines());

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "ingot-audit-"));
  log = await open();
});
afterEach(async () => {
  await log.close();
  rmSync(directory, { recursive: true });
});

describe("the audit log", () => {
  it("is one chain, over many writers at once and over restarts", async () => {
    expect(await verdict()).toMatchObject({ lines: 0, faults: [] });
    await Promise.all(Array.from({ length: 50 }, (_, at) => log.append(note(`/v1/${at}`))));
    await log.close();
    log = await open();
    await log.append(note("/v1/after"));
    expect(await verdict()).toMatchObject({ lines: 51, first: 1, last: 51, faults: [] });
    expect((await log.last(1, () => true))[0]).toMatchObject({ seq: 51, path: "/v1/after", who: "user:ada" });
    expect((await log.last(9, ({ path }) => path === "/v1/7")).map(({ seq }) => seq)).toHaveLength(1);
    expect(statSync(join(directory, files()[0] as string)).mode & 0o777).toBe(0o600);
  });

  it("tells of an entry that was changed, taken out, put in, or moved", async () => {
    for (let at = 0; at < 6; at++) await log.append(note(`/v1/${at}`));
    const kept = await lines();
    const at = (index: number) => kept[index] as string;
    const faults = async (tampered: string[]) => (await verifyChain(tampered)).faults;
    expect(await faults(kept)).toEqual([]);
    for (const text of ["user:ada", "/v1/2", '"POST"', '"seq":3', "request"]) {
      const changed = kept.with(2, at(2).replace(text, text === '"seq":3' ? '"seq":9' : '"x'));
      expect(await faults(changed), text).not.toEqual([]);
    }
    expect(await faults(kept.toSpliced(2, 1))).not.toEqual([]);
    expect(await faults(kept.toSpliced(2, 0, at(2)))).not.toEqual([]);
    expect(await faults([at(0), at(2), at(1), ...kept.slice(3)])).not.toEqual([]);
    expect(await faults(kept.with(2, "{}"))).not.toEqual([]);
    // what the first line followed is gone: nothing vouches for that line
    const later = [JSON.stringify({ ...JSON.parse(at(1)), who: "token:other" }), ...kept.slice(2)];
    expect(await verifyChain(later)).toMatchObject({ first: 3, faults: [] });
    // cut short, it is a chain, with another head
    expect((await verifyChain(kept.slice(0, 3))).head).not.toBe((await verifyChain(kept)).head);
  });

  it("cuts a line that a crash tore, and goes on", async () => {
    await log.append(note("/v1/whole"));
    await log.append(note("/v1/torn"));
    await log.close();
    const file = join(directory, files()[0] as string);
    truncateSync(file, statSync(file).size - 5);
    log = await open();
    await log.append(note("/v1/next"));
    expect((await lines()).map((line) => JSON.parse(line).path)).toEqual(["/v1/whole", "/v1/next"]);
    expect(await verdict()).toMatchObject({ last: 2, faults: [] });
  });

  it("starts behind a damaged last line, and says that there is a gap", async () => {
    await log.append(note("/v1/whole"));
    await log.close();
    const file = join(directory, files()[0] as string);
    writeFileSync(file, `${readFileSync(file, "utf8")}{"seq":2,"hash":"no"}\n`);
    log = await open();
    await log.append(note("/v1/next"));
    const entries = await log.last(9, () => true);
    expect(entries.map(({ kind }) => kind)).toEqual(["request", "gap", "request"]);
    expect((await verdict()).faults.join()).toContain("damaged");
  });

  it("gives up its oldest files when it is too long, and is a chain still", async () => {
    await log.close();
    log = await open({ maxBytes: 4000, fileBytes: 1000 });
    for (let at = 0; at < 100; at++) await log.append(note(`/v1/${at}`));
    expect(files().length).toBeLessThan(7);
    const found = await verdict();
    expect(found).toMatchObject({ last: 100, faults: [] });
    expect(found.first).toBeGreaterThan(60);
    await log.close();
    log = await open();
    await log.append(note("/v1/next"));
    expect(await verdict()).toMatchObject({ last: 101, faults: [] });
  });

  it("goes on from the end of the file before, where a crash left a new one empty", async () => {
    await log.append(note("/v1/one"));
    await log.close();
    writeFileSync(join(directory, "000000000002.jsonl"), "");
    log = await open();
    await log.append(note("/v1/two"));
    expect(await verdict()).toMatchObject({ lines: 2, last: 2, faults: [] });
  });

  it("refuses what it can't write, and nothing later hangs in the air", async () => {
    await log.append(note("/v1/before"));
    const handle = await openFile(join(directory, files()[0] as string));
    const sync = vi.spyOn(Object.getPrototypeOf(handle), "datasync");
    await handle.close();
    sync.mockRejectedValueOnce(Object.assign(new Error("no room"), { code: "ENOSPC" }));
    const refused = await Promise.allSettled([log.append(note("/v1/one")), log.append(note("/v1/two"))]);
    for (const one of refused) expect(one).toMatchObject({ status: "rejected", reason: { code: "UNAVAILABLE" } });
    expect(await lines()).toHaveLength(1);
    await log.append(note("/v1/three"));
    sync.mockRestore();
    expect(await verdict()).toMatchObject({ lines: 2, last: 2, faults: [] });
  });

  it("goes on in the old file where no new one can be made", async () => {
    await log.close();
    log = await open({ fileBytes: 1 });
    await log.append(note("/v1/one"));
    const next = join(directory, "000000000002.jsonl");
    mkdirSync(next);
    await expect(log.append(note("/v1/two"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
    rmSync(next, { recursive: true });
    await log.append(note("/v1/three"));
    expect(files()).toHaveLength(2);
    expect(await verdict()).toMatchObject({ lines: 2, last: 2, faults: [] });
  });

  it("is looked through in pieces: the event loop is not held up for long", async () => {
    await log.close();
    log = await open({ maxBytes: 1024 ** 3 });
    for (let round = 0; round < 40; round++) {
      await Promise.all(Array.from({ length: 1000 }, (_, at) => log.append(note(`/v1/${round}/${at}`))));
    }
    let turns = 0;
    let over = false;
    const count = (async () => {
      for (; !over; turns++) await new Promise((resolve) => setImmediate(resolve));
    })();
    expect(await log.last(10, ({ path }) => path === "/v1/nowhere")).toEqual([]);
    over = true;
    await count;
    // 8 MiB in pieces of 64 KiB
    expect(turns).toBeGreaterThan(50);
    expect((await log.last(3, () => true)).map(({ seq }) => seq)).toEqual([40_000, 39_999, 39_998]);
  });
});
