import { once } from "node:events";
import { open, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";

/** A machine's serial line: everything it ever said, and a way to type. */
export type NodeConsole = {
  /** File with all output since the node was made, over all its boots. */
  log: string;
  /** Unix socket for anybody who wants to watch and type: `socat -,raw,echo=0 UNIX:<path>`. */
  line: string;
  /** A place in the output, to look only at what comes later. */
  mark(): Promise<number>;
  /** The lines said since a mark (by default: ever), carriage returns and terminal control taken out. */
  lines(since?: number): Promise<string[]>;
  /** The first match in a line said since the mark (by default: ever). Fails after `deadlineMs`, with the last lines in the message. */
  waitForLine(pattern: RegExp, deadlineMs: number, since?: number): Promise<RegExpExecArray>;
  /** Types, as a person would: end with `\n`. */
  write(text: string): void;
  close(): Promise<void>;
};

/**
 * Opens the two ends of a serial line in `directory`: QEMU connects to `serial.sock` and keeps its own log in
 * `console.log`; SOL and people connect to `line.sock`. Ends with this process; QEMU then goes on unheard.
 */
export async function openNodeConsole(directory: string): Promise<NodeConsole> {
  const log = join(directory, "console.log");
  const line = join(directory, "line.sock");
  const machines = new Set<Socket>();
  const watchers = new Set<Socket>();
  const servers = await Promise.all([
    listen(join(directory, "serial.sock"), machines, watchers),
    listen(line, watchers, machines),
  ]);

  const read = async (since: number): Promise<string> => {
    const file = await open(log, "r").catch(() => undefined);
    if (!file) return "";
    try {
      const { size } = await file.stat();
      const bytes = Buffer.alloc(Math.max(0, size - since));
      await file.read(bytes, 0, bytes.length, since);
      return bytes.toString("latin1");
    } finally {
      await file.close();
    }
  };
  const lines = async (since = 0) => plainText(await read(since)).split("\n");

  return {
    log,
    line,
    lines,
    mark: async () => (await read(0)).length,
    async waitForLine(pattern, deadlineMs, since = 0) {
      const deadline = Date.now() + deadlineMs;
      for (;;) {
        const said = await lines(since);
        for (const text of said) {
          const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, "")).exec(text);
          if (match) return match;
        }
        if (Date.now() > deadline) {
          throw new Error(
            `no line like ${pattern} on ${log} within ${deadlineMs} ms; last lines:\n${said.slice(-15).join("\n")}`,
          );
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
    write(text) {
      for (const machine of machines) machine.write(text);
    },
    async close() {
      for (const socket of [...machines, ...watchers]) socket.destroy();
      for (const server of servers) await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A unix socket whose clients' bytes all go to the clients of the other. */
async function listen(path: string, own: Set<Socket>, others: Set<Socket>) {
  await rm(path, { force: true });
  const server = createServer((socket) => {
    own.add(socket);
    socket.on("data", (chunk) => {
      for (const other of others) other.write(chunk);
    });
    // Either end comes and goes as it likes.
    socket.on("error", () => {});
    socket.on("close", () => own.delete(socket));
  });
  server.listen(path);
  await once(server, "listening");
  server.unref();
  return server;
}

/** Firmware draws with ANSI sequences; what a reader compares is the text. */
function plainText(text: string): string {
  return text.replace(/\x1b(\[[0-9;?=]*[A-Za-z]|[c()][0-9A-B]?)/g, "").replaceAll("\r", "");
}
