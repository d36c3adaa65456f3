import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { Config } from "../config/schema.ts";
import type { SerialConsole } from "../drivers/console/serial-console.ts";
import { ApplianceError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { NodeRecord } from "../nodes/node.ts";
import type { NodeRegistry } from "../nodes/node-registry.ts";
import { ConsoleLog } from "./console-log.ts";
import { LogDisk } from "./log-disk.ts";
import { NodeConsole } from "./node-console.ts";
import { Pace } from "./pace.ts";

/** Between the starts of two lines. */
const GAP_MS = 50;
/** A disk that takes nothing is news once in a while. */
const TROUBLE_MS = 60_000;

export type ConsolesParts = {
  nodes: Pick<NodeRegistry, "list" | "find" | "watch">;
  config: Pick<Config, "stateDirectory" | "consoles">;
  /** How to reach a node's line. May throw what keeps us from it. */
  serialConsoleOf: (node: NodeRecord) => SerialConsole;
  clock: Clock;
  log: Log;
};

type Kept = { key: string; console: Promise<NodeConsole>; ready?: NodeConsole };

/**
 * The serial lines of all nodes that have one, as nodes come and go. A line's log is that of one node and one project: a
 * node that is moved begins a new one, and the former is removed, as are those of nodes that are gone.
 */
export class Consoles {
  readonly #parts: ConsolesParts;
  readonly #directory: string;
  readonly #disk: LogDisk;
  readonly #pace: Pace;
  readonly #log: Log;
  /** By the node's id. */
  readonly #kept = new Map<string, Kept>();
  /** What is being ended or removed. */
  readonly #ending = new Set<Promise<unknown>>();
  #hasStopped = false;
  #toldTroubleAt = Number.NEGATIVE_INFINITY;

  constructor(parts: ConsolesParts) {
    this.#parts = parts;
    this.#directory = join(parts.config.stateDirectory, "consoles");
    this.#disk = new LogDisk(this.#directory);
    this.#pace = new Pace(parts.clock, GAP_MS);
    this.#log = parts.log.child({ component: "consoles" });
  }

  /** Begins with the nodes that there are, in the background, and follows what becomes of them. */
  start(): void {
    const { nodes, config } = this.#parts;
    if (!config.consoles.enabled) return;
    this.#await(this.#prepare());
    for (const { id } of nodes.list()) this.#align(id);
    nodes.watch((id) => this.#align(id));
  }

  /** Ends all lines. Their logs stay. */
  async stop(): Promise<void> {
    this.#hasStopped = true;
    for (const id of [...this.#kept.keys()]) this.#end(id);
    await Promise.all(this.#ending);
  }

  /** The line of a node for the project that has it. UNSUPPORTED where it has none; UNAVAILABLE while it begins. */
  of(node: NodeRecord): NodeConsole {
    if (!this.#parts.config.consoles.enabled) {
      throw new ApplianceError("UNSUPPORTED", "consoles are switched off on this appliance", {
        details: { remedy: "set consoles.enabled in its configuration, and restart ingotd" },
      });
    }
    if (!hasLine(node)) {
      throw new ApplianceError("UNSUPPORTED", `node ${node.name} has no IPMI BMC, and so no console`, {
        details: {
          field: "node",
          value: node.name,
          remedy: "use what reaches its screen; or register it with --bmc ipmi://USER@HOST",
        },
      });
    }
    const kept = this.#kept.get(node.id);
    if (kept?.ready && kept.key === keyOf(node)) return kept.ready;
    throw new ApplianceError("UNAVAILABLE", `the console of ${node.name} begins just now`, {
      details: { remedy: "ask again in a moment" },
      retryable: true,
    });
  }

  /** Brings one node's line in accord with its record. */
  #align(id: string): void {
    if (this.#hasStopped) return;
    const node = this.#parts.nodes.find(id);
    const key = node && hasLine(node) ? keyOf(node) : undefined;
    const kept = this.#kept.get(id);
    if (kept?.key === key) return;
    const ended = this.#end(id);
    if (kept) this.#await(ended.then(() => this.#remove(kept.key)));
    if (node && key !== undefined) this.#begin(node, key, ended);
  }

  /** `former`: the end of the line that the node had. A BMC has one session, and whoever ends theirs late would end ours. */
  #begin(node: NodeRecord, key: string, former: Promise<void>): void {
    const { nodes, serialConsoleOf, config, clock } = this.#parts;
    const open = async () => {
      await former.catch(() => {});
      const record = await ConsoleLog.open({
        directory: join(this.#directory, key),
        disk: this.#disk,
        maxBytes: config.consoles.maxBytes,
        onTrouble: (error) => this.#tellTrouble(error),
      });
      return new NodeConsole({
        name: node.name,
        serialConsole: () => serialConsoleOf(nodes.find(node.id) ?? node),
        ...{ record, pace: this.#pace, clock, log: this.#log },
      });
    };
    const kept: Kept = { key, console: open() };
    this.#kept.set(node.id, kept);
    const ready = kept.console.then((console) => {
      if (this.#kept.get(node.id) !== kept) return;
      kept.ready = console;
      console.start();
    });
    this.#await(ready);
  }

  #end(id: string): Promise<void> {
    const kept = this.#kept.get(id);
    this.#kept.delete(id);
    // at once: whoever follows it may be of another project by now
    const ended = kept?.ready ? kept.ready.stop() : Promise.resolve(kept?.console).then(() => {});
    this.#await(ended);
    return ended;
  }

  /** Makes the directory, and removes logs of nodes that are gone or have moved: what a crash left of that. */
  async #prepare(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const keys = new Set(this.#parts.nodes.list().filter(hasLine).map(keyOf));
    for (const name of await readdir(this.#directory)) if (!keys.has(name)) await this.#remove(name);
  }

  /** A log that nobody has. */
  #remove(key: string): Promise<void> {
    return this.#disk.inTurn(async () => {
      const isBack = [...this.#kept.values()].some((kept) => kept.key === key);
      if (!isBack) await rm(join(this.#directory, key), { recursive: true, force: true });
    });
  }

  #await(work: Promise<unknown>): void {
    const settled: Promise<unknown> = work
      .catch((error) => this.#tellTrouble(error))
      .finally(() => this.#ending.delete(settled));
    this.#ending.add(settled);
  }

  #tellTrouble(error: unknown): void {
    const now = this.#parts.clock.now();
    if (now - this.#toldTroubleAt < TROUBLE_MS) return;
    this.#toldTroubleAt = now;
    this.#log.warn({ err: error }, "console log not written");
  }
}

function hasLine({ power }: NodeRecord): boolean {
  return power.driver === "ipmi";
}

function keyOf({ id, project }: NodeRecord): string {
  return `${id}@${project}`;
}
