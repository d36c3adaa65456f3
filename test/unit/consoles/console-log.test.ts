import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConsoleLog } from "../../../src/consoles/console-log.ts";
import { LogDisk } from "../../../src/consoles/log-disk.ts";

const MAX_BYTES = 64 * 1024;

let root: string;
let directory: string;
let troubles: unknown[];

const openLog = () =>
  ConsoleLog.open({
    directory,
    disk: new LogDisk(root),
    maxBytes: MAX_BYTES,
    onTrouble: (error) => void troubles.push(error),
  });
const say = (log: ConsoleLog, text: string) => log.append(Buffer.from(text));
const all = async (log: ConsoleLog) => (await log.read(0, log.end)).toString();

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "ingot-console-log-"));
  directory = join(root, "node-1@default");
  troubles = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe("the log of a serial line", () => {
  it("keeps what was said over a restart, in files for their owner's eyes", async () => {
    const log = await openLog();
    expect([log.start, log.end]).toEqual([0, 0]);
    say(log, "hello ");
    say(log, "world");
    expect(log.end).toBe(11);
    expect(await all(log)).toBe("hello world");
    const again = await openLog();
    expect(again.end).toBe(11);
    say(again, "!");
    expect(await all(again)).toBe("hello world!");
    expect((await again.read(6, 11)).toString()).toBe("world");
    for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  it("is never longer than it may be, and knows the place of what is left", async () => {
    const log = await openLog();
    let said = "";
    for (let line = 0; line < 2000; line++) {
      const text = `line ${String(line).padStart(5, "0")} ${"x".repeat(100)}\n`;
      said += text;
      say(log, text);
      await log.settled();
      const kept = readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
      expect(kept).toBeLessThanOrEqual(MAX_BYTES);
    }
    expect(readdirSync(directory)).toHaveLength(2);
    expect(log.end).toBe(said.length);
    expect(log.end - log.start).toBeGreaterThan(MAX_BYTES / 2 - 200);
    expect(await all(log)).toBe(said.slice(log.start));
    const again = await openLog();
    expect([again.start, again.end]).toEqual([log.start, log.end]);
  });

  it("drops what a slow disk leaves no room for", async () => {
    const log = await openLog();
    const piece = "y".repeat(10_000);
    const taken = Array.from({ length: 10 }, () => say(log, piece)).filter(Boolean).length;
    expect(taken).toBe(3);
    expect((await all(log)).length).toBe(30_000);
    expect(say(log, piece)).toBe(true);
    await log.settled();
  });

  it("loses what a disk refuses, and goes on once it takes something", async () => {
    const log = await openLog();
    // a file where the directory should be: as good as a disk that refuses
    writeFileSync(directory, "");
    say(log, "lost");
    await log.settled();
    expect(troubles).toHaveLength(1);
    rmSync(directory);
    say(log, "kept");
    expect(await all(log)).toBe("kept");
    expect(log.end - log.start).toBe(4);
    expect(readFileSync(join(directory, readdirSync(directory)[0] as string), "utf8")).toBe("kept");
  });
});
