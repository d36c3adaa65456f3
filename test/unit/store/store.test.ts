import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApplianceError } from "../../../src/errors.ts";
import { createLog } from "../../../src/log.ts";
import type { Journal } from "../../../src/store/journal.ts";
import { Store, type StoreOptions } from "../../../src/store/store.ts";
import { journalWithAppend } from "../../fakes/journal-with-append.ts";

let directory: string;
let logged: string[];
const log = createLog("trace", { write: (line: string) => void logged.push(line) });
const opened: Store[] = [];
const open = async (options?: StoreOptions) => {
  const store = await Store.open(directory, log, options);
  opened.push(store);
  return store;
};
const put = (key: string, value: object | null) => ({ collection: "things", key, value });
const things = (store: Store) => Object.fromEntries(store.collection("things").entries());
const segments = () => readdirSync(join(directory, "journal")).sort();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-store-"));
  logged = [];
});
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
  rmSync(directory, { recursive: true, force: true });
});

describe("the store", () => {
  it("finds after a crash all that was committed", async () => {
    const store = await open();
    await Promise.all([store.commit([put("a", { n: 1 }), put("b", { n: 2 })]), store.commit([put("a", { n: 3 })])]);
    await store.commit([put("b", null)]);
    const reopened = await open(); // the first one was never closed
    expect(things(reopened)).toEqual({ a: { n: 3 } });
  });

  it("goes on counting after a run that wrote nothing but the watchdog's entries", async () => {
    const first = await open();
    await first.commit([put("a", { n: 1 })]);
    await first.close();
    const quiet = await open();
    for (let looks = 0; looks < 20; looks++) await quiet.exercise();
    await quiet.close();
    const busy = await open();
    await busy.commit([put("a", { n: 2 })]);
    await busy.compact();
    await busy.commit([put("a", { n: 3 })]);
    const reopened = await open(); // the one before was never closed
    expect(things(reopened)).toEqual({ a: { n: 3 } });
  });

  it("shows a commit to readers at once and freezes it", async () => {
    const store = await open();
    const done = store.commit([put("a", { inner: { n: 1 } })]);
    const record = store.collection<{ inner: { n: number } }>("things").get("a");
    expect(record).toEqual({ inner: { n: 1 } });
    expect(() => {
      (record as { inner: { n: number } }).inner.n = 2;
    }).toThrow(TypeError);
    await done;
  });

  it("cuts a torn tail, says so, and goes on", async () => {
    const store = await open();
    await store.commit([put("a", { n: 1 })]);
    const segment = join(directory, "journal", segments()[0] as string);
    const whole = readFileSync(segment, "utf8");
    for (let length = 1; length < whole.length; length++) {
      writeFileSync(segment, whole + whole.replace('"seq":1', '"seq":2').slice(0, length));
      if (length === whole.length - 1) appendFileSync(segment, "\0\0\0\n");
      logged = [];
      const reopened = await open();
      expect(things(reopened)).toEqual({ a: { n: 1 } });
      expect(logged.join("")).toContain("cut a torn journal tail");
    }
    const last = await open();
    await last.commit([put("b", { n: 2 })]);
    expect(things(await open())).toEqual({ a: { n: 1 }, b: { n: 2 } });
  });

  it("refuses to start on damage before good lines, naming file and line", async () => {
    const store = await open();
    for (let n = 1; n <= 3; n++) await store.commit([put("a", { n })]);
    const segment = join(directory, "journal", segments()[0] as string);
    writeFileSync(segment, readFileSync(segment, "utf8").replace('{"n":2}', '{"n":7}'));
    await expect(open()).rejects.toThrow(new RegExp(`${segment}:2: a damaged line stands before good ones`));
  });

  it("refuses to start on a damaged checkpoint", async () => {
    const store = await open();
    await store.commit([put("a", { n: 1 })]);
    await store.close();
    const file = join(directory, "store/things.json");
    expect(readFileSync(file, "utf8")).toContain('"a":{"n":1}');
    for (const text of ["", "{", '{"schema":2,"through":0,"records":{}}', '{"schema":1}']) {
      writeFileSync(file, text);
      await expect(open()).rejects.toMatchObject({ code: "CORRUPT", message: expect.stringContaining(file) });
    }
  });

  it("reads a long checkpoint, and one that somebody edited, in whatever layout", async () => {
    const store = await open();
    const text = 'a line\nbreak, a "quote" and }}';
    await store.commit(Array.from({ length: 2000 }, (_, n) => put(`k${n}`, { n, text })));
    const before = things(store);
    await store.close();
    expect(things(await open())).toEqual(before);
    await opened.pop()?.close();
    const file = join(directory, "store/things.json");
    const edited = JSON.parse(readFileSync(file, "utf8"));
    edited.records.k7.text = "by hand";
    writeFileSync(file, JSON.stringify(edited, null, 2));
    expect(things(await open())).toEqual({ ...before, k7: { n: 7, text: "by hand" } });
  });

  it("compacts under load and loses nothing", async () => {
    const store = await open({ compactAtBytes: 2000 });
    for (let round = 0; round < 40; round++) {
      await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          store.commit([put(`k${n}`, { round }), { collection: "others", key: `r${round}`, value: { n } }]),
        ),
      );
      if (round % 10 === 0) {
        // one opener at a time, as the lock of the directory has it: no checkpoint may be under way
        await store.compact();
        const crashed = await open({ compactAtBytes: 1e9 });
        expect(things(crashed)).toEqual(Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`k${n}`, { round }])));
      }
    }
    await store.compact();
    expect(segments().length).toBeLessThanOrEqual(2);
    const reopened = await open();
    expect(reopened.collection("others").size).toBe(40);
    expect(things(reopened)).toEqual(
      Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`k${n}`, { round: 39 }])),
    );
  });

  it("finds everything after a crash between checkpoint and clean-up", async () => {
    let crashed = false;
    const wrapJournal = (journal: Journal): Journal => ({
      ...journalWithAppend(journal, (entry, durable, failed) => journal.append(entry, durable, failed)),
      async dropBefore() {
        crashed = true;
        throw new Error("killed");
      },
    });
    const store = await open({ wrapJournal });
    await store.commit([put("a", { n: 1 }), put("b", { n: 1 })]);
    await store.compact();
    await store.commit([put("a", { n: 2 }), put("b", null)]);
    expect(crashed).toBe(true);
    expect(segments().length).toBe(2);
    expect(things(await open())).toEqual({ a: { n: 2 } });
  });

  it("takes back, newest first, what the disk refused", async () => {
    let refuse = false;
    const wrapJournal = (journal: Journal): Journal =>
      journalWithAppend(journal, (entry, durable, failed) => {
        if (!refuse) return journal.append(entry, durable, failed);
        refused.unshift(failed);
      });
    const refused: ((error: ApplianceError) => void)[] = [];
    const store = await open({ wrapJournal });
    await store.commit([put("a", { n: 0 })]);
    refuse = true;
    const outcomes = [1, 2].map((n) => store.commit([put("a", { n }), put(`b${n}`, { n })]));
    expect(things(store)).toEqual({ a: { n: 2 }, b1: { n: 1 }, b2: { n: 2 } });
    for (const failed of refused) failed(new ApplianceError("UNAVAILABLE", "disk full"));
    for (const outcome of outcomes) await expect(outcome).rejects.toThrow("disk full");
    expect(things(store)).toEqual({ a: { n: 0 } });
    refuse = false;
    await store.commit([put("c", { n: 1 })]);
    expect(things(await open())).toEqual({ a: { n: 0 }, c: { n: 1 } });
  });

  it("goes on in the old segment when there is no room for a new one", async () => {
    const store = await open();
    await store.commit([put("a", { n: 1 })]);
    const inTheWay = join(directory, "journal", `${"2".padStart(16, "0")}.jsonl`);
    mkdirSync(inTheWay);
    const compacted = store.compact();
    await store.commit([put("b", { n: 2 })]);
    await compacted;
    expect(logged.join()).toContain("checkpoint failed");
    rmdirSync(inTheWay);
    await store.commit([put("c", { n: 3 })]);
    expect(things(await open())).toEqual({ a: { n: 1 }, b: { n: 2 }, c: { n: 3 } });
    await store.compact();
    expect(things(await open())).toEqual({ a: { n: 1 }, b: { n: 2 }, c: { n: 3 } });
  });
});
