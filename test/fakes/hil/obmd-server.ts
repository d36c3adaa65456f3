import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Faults, withFault } from "./faults.ts";
import type { Seen } from "./hil-server.ts";

/** OBMd's own password, as HIL is told it for each node. */
export const OBMD_ADMIN_TOKEN = "412fbc76cc6546a65a4691e51d863130";

const BOOT_DEVICES = { mock: ["A", "B"], dummy: undefined, ipmi: ["pxe", "disk", "none"] };
type Machine = { driver: keyof typeof BOOT_DEVICES; power: "on" | "off"; bootDevice?: string; token?: string };

/** A stateful double of OBMd: power, boot device and console of the nodes, for whoever has a node's token. */
export class ObmdServer {
  readonly machines = new Map<string, Machine>();
  readonly faults = new Faults();
  readonly seen: Seen[] = [];
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** It forgets its tokens, and only them. */
  restart(): void {
    for (const machine of this.machines.values()) delete machine.token;
    this.#server.closeAllConnections();
  }

  async stop(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const { method = "", url = "" } = request;
    const { authorization } = request.headers;
    this.seen.push({ method, path: url, body, authorization });
    const handle = async () => {
      const [status, answer] = this.#answer(method, new URL(url, "http://obmd"), body, authorization);
      return () => (answer === CONSOLE ? stream(response) : response.writeHead(status).end(answer));
    };
    const fault = this.faults.meet(`${method} ${url}`);
    if (fault) await withFault(fault, handle, request, response);
    else (await handle())();
  }

  #answer(method: string, url: URL, body: string, authorization: string | undefined): [number, string?] {
    const [, name = "", verb] = /^\/node\/([^/]+)(?:\/(\w+))?$/.exec(url.pathname) ?? [];
    const admin = authorization === `Basic ${Buffer.from(`admin:${OBMD_ADMIN_TOKEN}`).toString("base64")}`;
    if (verb === undefined) return admin && method === "PUT" ? this.#register(name, JSON.parse(body)) : [404];
    const machine = this.machines.get(name);
    if (!machine) return [404];
    if (verb === "token") {
      if (!admin) return [404];
      if (method === "DELETE") delete machine.token;
      else machine.token = randomBytes(16).toString("hex");
      return [200, JSON.stringify({ token: machine.token })];
    }
    if (machine.token === undefined || url.searchParams.get("token") !== machine.token) return [401];
    return act(machine, `${method} ${verb}`, body);
  }

  #register(name: string, { type }: { type: keyof typeof BOOT_DEVICES }): [number] {
    if (this.machines.has(name) || !(type in BOOT_DEVICES)) return [500];
    this.machines.set(name, { driver: type, power: "off" });
    return [200];
  }
}

const CONSOLE = "console";

function act(machine: Machine, call: string, body: string): [number, string?] {
  if (call === "GET power_status")
    return [200, JSON.stringify({ power_status: machine.driver === "mock" ? "Mock Status" : machine.power })];
  if (call === "POST power_on") machine.power = "on";
  else if (call === "POST power_off") machine.power = "off";
  // A reset that the BMC takes leaves a machine that is off as it is.
  else if (call === "POST power_cycle") return [body === "" ? 400 : 200];
  else if (call === "PUT boot_device") {
    const { bootdev } = JSON.parse(body);
    if (BOOT_DEVICES[machine.driver]?.includes(bootdev) === false) return [400];
    machine.bootDevice = bootdev;
  } else if (call === "GET console") return machine.driver === "dummy" ? [500] : [200, CONSOLE];
  else return [404];
  return [200];
}

/** Never ends by itself. */
function stream(response: ServerResponse): void {
  let count = 0;
  const timer = setInterval(() => response.write(`${count++}\n`), 1);
  response.once("close", () => clearInterval(timer));
}
