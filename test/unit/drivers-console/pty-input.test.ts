import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { spawn } from "node-pty";
import { expect, it, vi } from "vitest";
import { PtyInput } from "../../../src/drivers/console/pty-input.ts";

type Terminal = ReturnType<typeof spawn> & { fd: number };

it("types in order, and what nobody takes goes nowhere else once the program has ended", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-pty-"));
  // reads a line, then nothing
  const terminal = spawn("sh", ["-c", "stty raw -echo; echo on; head -c 5; sleep 1000"], {}) as Terminal;
  let said = "";
  terminal.onData((text) => {
    said += text;
  });
  const over = new Promise((resolve) => terminal.onExit(resolve));
  const input = new PtyInput(terminal.fd);
  const opened: number[] = [];
  try {
    await vi.waitFor(() => expect(said).toContain("on"), { timeout: 10_000 });
    expect(input.write(Buffer.from("he"))).toBe(true);
    expect(input.write(Buffer.from("llo"))).toBe(true);
    await vi.waitFor(() => expect(said).toContain("hello"), { timeout: 10_000 });
    // the kernel takes some kilobytes of it
    let taken = 0;
    while (input.write(Buffer.alloc(1024, "x"))) taken += 1;
    expect(taken).toBe(16);
    process.kill(terminal.pid, "SIGKILL");
    await over;
    await vi.waitFor(() => expect(() => fstatSync(terminal.fd)).toThrow("EBADF"), { timeout: 10_000 });
    // takes the number that node-pty's descriptor had
    for (let file = -1; file !== terminal.fd; opened.push(file)) file = openSync(join(folder, "other"), "a");
    // longer than it waits between two tries
    await pause(100);
    input.close();
    input.close();
    expect(input.write(Buffer.from("late"))).toBe(false);
    expect(readFileSync(join(folder, "other"), "utf8")).toBe("");
  } finally {
    for (const file of opened) closeSync(file);
    rmSync(folder, { recursive: true });
  }
});
