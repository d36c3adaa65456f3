import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { FaultyServer, type Seen } from "./faulty-server.ts";

/** OBMd's own password, as HIL is told it for each node. */
export const OBMD_ADMIN_TOKEN = "412fbc76cc6546a65a4691e51d863130";

const BOOT_DEVICES = { mock: ["A", "B"], dummy: undefined, ipmi: ["pxe", "disk", "none"] };
type Machine = { driver: keyof typeof BOOT_DEVICES; power: "on" | "off"; bootDevice?: string; token?: string };

/** A stateful double of OBMd: power, boot device and console of the nodes, for whoever has a node's token. */
export class ObmdServer extends FaultyServer {
  readonly machines = new Map<string, Machine>();
  /** Told of each node that is switched on. */
  onPowerOn: (name: string) => void = () => {};

  /** It forgets its tokens, and only them. */
  override restart(): void {
    for (const machine of this.machines.values()) delete machine.token;
    super.restart();
  }

  protected async handle(call: Seen, _: IncomingMessage, response: ServerResponse): Promise<() => void> {
    const { method, path, body, authorization } = call;
    const [status, answer] = this.#answer(method, new URL(path, "http://obmd"), body, authorization);
    return () => (answer === CONSOLE ? stream(response) : response.writeHead(status).end(answer));
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
    if (method === "POST" && verb === "power_on" && machine.power === "off") this.onPowerOn(name);
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
