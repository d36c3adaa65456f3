import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";

/** Runs `ip` with these words and returns what it printed. */
export function ip(...words: string[]): string {
  return execFileSync("ip", words, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** One end of a cable: a namespace, the interface's name in it, its addresses (`10.0.0.1/24`) and MAC. */
export type CableEnd = { namespace: string; interface: string; addresses?: string[]; mac?: string };

/** Network namespaces of one test file: made anew from any state, gone with all that runs in them after `remove`. */
export class Namespaces {
  readonly #names: string[];
  readonly #children = new Set<ChildProcess>();

  constructor(...names: string[]) {
    this.#names = names;
    this.#wipe();
    for (const name of names) {
      ip("netns", "add", name);
      ip("-n", name, "link", "set", "lo", "up");
      this.run(name, ["sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0", "net.ipv6.conf.all.disable_ipv6=1"]);
    }
  }

  /** A veth pair between two of the namespaces, both ends up. */
  cable(left: CableEnd, right: CableEnd): void {
    const rightWords = ["peer", "name", right.interface, "netns", right.namespace];
    ip("-n", left.namespace, "link", "add", left.interface, "type", "veth", ...rightWords);
    for (const end of [left, right]) {
      if (end.mac) ip("-n", end.namespace, "link", "set", "dev", end.interface, "address", end.mac);
      for (const address of end.addresses ?? [])
        ip("-n", end.namespace, "addr", "add", address, "dev", end.interface, "brd", "+");
      ip("-n", end.namespace, "link", "set", "dev", end.interface, "up");
    }
  }

  /** Runs a program there to its end; throws when it fails. */
  run(namespace: string, command: string[], timeout = 60_000): string {
    return execFileSync("ip", ["netns", "exec", namespace, ...command], {
      encoding: "utf8",
      timeout,
      maxBuffer: 256 * 1024 * 1024,
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Starts a program there; `remove` ends it if it still runs. */
  start(namespace: string, command: string[], options: SpawnOptions = {}): ChildProcess {
    const argv = ["netns", "exec", namespace, ...command];
    const child = spawn("ip", argv, { stdio: ["pipe", "pipe", "pipe"], ...options });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  /** Ends all programs that still run there. */
  async stopAll(): Promise<void> {
    const exits = [...this.#children].map((child) => once(child, "exit"));
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(exits);
  }

  async remove(): Promise<void> {
    await this.stopAll();
    this.#wipe();
  }

  /** Also ends what an aborted run left in namespaces of these names. */
  #wipe(): void {
    for (const name of this.#names) {
      if (!existsSync(`/run/netns/${name}`)) continue;
      for (const pid of ip("netns", "pids", name).split("\n").map(Number)) {
        if (pid <= 1 || pid === process.pid) continue;
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // It ended by itself meanwhile.
        }
      }
      ip("netns", "del", name);
    }
  }
}

/** Output lines of a child as they come; `next` waits for the first unread one that fits, and fails at the deadline or the child's end. */
export class Lines {
  readonly #lines: string[] = [];
  readonly #child: ChildProcess;
  #read = 0;
  #ended = false;
  #wake: () => void = () => {};

  constructor(child: ChildProcess, stream: "stdout" | "stderr" = "stdout") {
    this.#child = child;
    child.once("close", () => {
      this.#ended = true;
      this.#wake();
    });
    let rest = "";
    child[stream]?.setEncoding("utf8").on("data", (text: string) => {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      this.#lines.push(...parts);
      this.#wake();
    });
  }

  /** All complete lines so far. */
  get all(): readonly string[] {
    return this.#lines;
  }

  async next(pattern: RegExp, deadlineMs = 15_000): Promise<string> {
    const deadline = AbortSignal.timeout(deadlineMs);
    for (;;) {
      while (this.#read < this.#lines.length) {
        const line = this.#lines[this.#read++]!;
        if (pattern.test(line)) return line;
      }
      if (this.#ended || deadline.aborted) {
        const program = this.#child.spawnargs.join(" ");
        throw new Error(`no line ${pattern} from ${program}; it said:\n${this.#lines.join("\n")}`);
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        deadline.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }
}
