import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createNotifier } from "../../../src/net/notify.ts";
import { NotifySocket } from "./notify-socket.ts";

const source = join(import.meta.dirname, "../../../src/net/notify.ts");

describe("the notifier", () => {
  let directory: string;
  let supervisor: NotifySocket | undefined;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "ingot-notify-"));
  });
  afterEach(() => {
    supervisor?.close();
    supervisor = undefined;
    rmSync(directory, { recursive: true });
  });

  it("says each thing in systemd's words, in one datagram from this process", () => {
    const path = join(directory, "notify");
    supervisor = new NotifySocket(path);
    const environment: NodeJS.ProcessEnv = { NOTIFY_SOCKET: path };
    const notifier = createNotifier(environment);
    expect(environment).toEqual({});
    notifier.ready();
    expect(supervisor.receive()).toEqual({ text: "READY=1", pid: process.pid });
    notifier.status("3 nodes\nWATCHDOG=1 is not smuggled in, äöü are fine");
    notifier.alive();
    notifier.stopping();
    expect(supervisor.drain()).toEqual([
      "STATUS=3 nodes WATCHDOG=1 is not smuggled in, äöü are fine",
      "WATCHDOG=1",
      "STOPPING=1",
    ]);
  });

  it("reaches abstract sockets", () => {
    const name = `@ingot-notify-${process.pid}`;
    supervisor = new NotifySocket(name);
    createNotifier({ NOTIFY_SOCKET: name }).ready();
    expect(supervisor.drain()).toEqual(["READY=1"]);
  });

  it("is silent where nobody supervises", () => {
    const notifier = createNotifier({});
    notifier.ready();
    notifier.alive();
  });

  it("says so when nobody listens, and neither waits nor dies when nobody reads", () => {
    const path = join(directory, "notify");
    const notifier = createNotifier({ NOTIFY_SOCKET: path });
    expect(() => notifier.ready()).toThrow(/^notify socket .*: no such file or directory$/);
    supervisor = new NotifySocket(path);
    // In a process of its own, since a call that waited could not be interrupted.
    const flood = `import { createNotifier } from ${JSON.stringify(source)};
      const notifier = createNotifier(process.env);
      try { for (let sent = 0; sent < 10_000; sent++) notifier.alive(); } catch ({ message }) { console.log(message); }`;
    const { stdout, signal } = spawnSync(process.execPath, ["--input-type=module", "-e", flood], {
      encoding: "utf8",
      env: { ...process.env, NOTIFY_SOCKET: path },
      timeout: 15_000,
      killSignal: "SIGKILL",
    });
    expect(signal).toBeNull();
    expect(stdout).toContain("resource temporarily unavailable");
    supervisor.drain();
    notifier.stopping();
    expect(supervisor.drain()).toEqual(["STOPPING=1"]);
  });

  it.each(["notify", "@", `/${"x".repeat(107)}`])("refuses the name %s", (name) => {
    expect(() => createNotifier({ NOTIFY_SOCKET: name })).toThrow("neither a path nor an abstract name");
  });
});
