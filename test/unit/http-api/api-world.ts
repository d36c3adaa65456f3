import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FailedLogins } from "../../../src/access/failed-logins.ts";
import { LocalAuthenticator } from "../../../src/access/local-authenticator.ts";
import { AuditLog } from "../../../src/audit/audit-log.ts";
import { DiscoveredMachines } from "../../../src/boot/discovered.ts";
import type { Timeline } from "../../../src/boot/timeline.ts";
import { systemClock } from "../../../src/clock.ts";
import { Consoles } from "../../../src/consoles/consoles.ts";
import type { Api, ApiParts } from "../../../src/http/api/api.ts";
import type { Gate } from "../../../src/http/api/authenticate.ts";
import { createLog } from "../../../src/log.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { Uploads } from "../../../src/operations/uploads.ts";
import { MemorySerialConsole } from "../../fakes/memory-serial-console.ts";
import { World } from "../operations/world.ts";

/** For polls: a loaded machine is slow, not wrong. */
export const PATIENT = { timeout: 10_000 };

/** Who asks on the unix socket. */
export const LOCAL = { localCaller: { name: "local", grants: [{ role: "admin" as const }] } };

/** How tests ask the API that `api` answers when they do: as the local admin, in JSON. */
export function askerOf(api: () => Api) {
  const ask = (method: string, path: string, body?: unknown) =>
    api().request(
      path,
      body === undefined
        ? { method }
        : { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } },
      LOCAL,
    );
  /** The end of the operation that an answer names. */
  const over = async (answer: Response | Promise<Response>) => {
    const { id } = await read(answer);
    return read(ask("GET", `/v1/operations/${id}?waitSeconds=20`));
  };
  return { ask, over };
}

/** What an answer says. */
// biome-ignore lint/suspicious/noExplicitAny: answers are judged by their content
export async function read(response: Response | Promise<Response>): Promise<any> {
  return (await response).json();
}

/** An appliance on in-memory drivers with a real store, and what the API needs of it. */
export class ApiWorld {
  readonly world: World;
  readonly directory: string;
  readonly logged: string[] = [];
  readonly discovered: DiscoveredMachines;
  readonly parts: ApiParts;
  readonly gate: Gate;
  /** By the node's name. */
  readonly lines = new Map<string, MemorySerialConsole>();
  readonly #consoles: Consoles;

  private constructor(world: World, appliance: Appliance, audit: AuditLog, directory: string) {
    this.directory = directory;
    this.world = world;
    this.discovered = new DiscoveredMachines((mac) => appliance.nodes.findByMac(mac) !== undefined);
    const config = { ...appliance.config, runtimeDirectory: this.directory };
    const lineOf = (name: string) => {
      const line = this.lines.get(name) ?? new MemorySerialConsole();
      this.lines.set(name, line);
      return line;
    };
    this.#consoles = new Consoles({
      nodes: appliance.nodes,
      config: { ...config, stateDirectory: this.directory },
      serialConsoleOf: ({ name }) => lineOf(name),
      clock: systemClock,
      log: createLog("silent"),
    });
    this.#consoles.start();
    this.parts = {
      // the world's own clock hurries; people who wait for an answer do not
      appliance: { ...appliance, clock: systemClock },
      uploads: new Uploads(appliance),
      audit,
      consoles: this.#consoles,
      boots: appliance.boots as Timeline,
      discovered: this.discovered,
      config,
      configFile: join(this.directory, "ingot.yaml"),
      version: "0.0.0-test",
      log: createLog("info", { write: (line: string) => void this.logged.push(line) }),
    };
    this.gate = { authenticators: [new LocalAuthenticator(appliance)], failedLogins: new FailedLogins(systemClock) };
  }

  /** On the in-memory drivers, or on those of another world. */
  static async start(arrange: (world: World) => void = () => {}, world = new World()): Promise<ApiWorld> {
    arrange(world);
    const directory = mkdtempSync(join(tmpdir(), "ingot-api-"));
    const audit = await AuditLog.open({ directory: join(directory, "audit"), clock: systemClock, maxBytes: 1024 ** 2 });
    return new ApiWorld(world, await world.start(), audit, directory);
  }

  get appliance(): Appliance {
    return this.parts.appliance;
  }

  async end(): Promise<void> {
    await this.#consoles.stop();
    await this.world.end();
    await this.parts.audit.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
