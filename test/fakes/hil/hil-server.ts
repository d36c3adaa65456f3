import type { IncomingMessage, ServerResponse } from "node:http";
import { actionRoutes } from "./action-routes.ts";
import { FaultyServer, type Seen } from "./faulty-server.ts";
import { nodeRoutes, switchRoutes } from "./inventory-routes.ts";
import { networkRoutes } from "./network-routes.ts";
import { NetworkingDaemon } from "./networking-daemon.ts";
import { obmRoutes } from "./obm-routes.ts";
import { projectRoutes } from "./project-routes.ts";
import { Reply, type Route, route, type Shape } from "./route.ts";
import { userRoutes } from "./user-routes.ts";
import { type Caller, HilError, missing, type Settings, World } from "./world.ts";

/** A stateful double of HIL on loopback. What holds for it is proven by replaying exchanges with the real one. */
export class HilServer extends FaultyServer {
  readonly world: World;
  readonly daemon: NetworkingDaemon;
  readonly #routes: Route[];

  constructor(settings: Partial<Settings> = {}, { daemon = true }: { daemon?: boolean } = {}) {
    super();
    this.world = new World({ auth: "database", allocator: "vlan_pool", pool: [100, 109], ...settings });
    this.daemon = new NetworkingDaemon(this.world, daemon);
    const { auth, allocator } = this.world.settings;
    const extensions = [`auth.${auth}`, `network_allocators.${allocator}`, "switches.dellnos9", "switches.mock"];
    this.#routes = [
      route("GET /active_extensions", {}, () => extensions.map((name) => `hil.ext.${name}`)),
      ...(auth === "database" ? userRoutes : []),
      ...[projectRoutes, actionRoutes, nodeRoutes, switchRoutes, networkRoutes, obmRoutes].flat(),
    ];
  }

  override async stop(): Promise<void> {
    this.daemon.stop();
    await super.stop();
  }

  protected async handle({ body }: Seen, request: IncomingMessage, response: ServerResponse): Promise<() => void> {
    const reply = await this.#answer(request, body);
    return () => send(response, reply);
  }

  async #answer(request: IncomingMessage, body: string): Promise<Reply> {
    const method = request.method === "HEAD" ? "GET" : request.method;
    const url = new URL(request.url ?? "", "http://hil");
    const path = decodeURIComponent(url.pathname);
    const here = this.#routes.filter(({ pattern }) => pattern.test(path));
    if (here.length === 0) return new Reply(404);
    if (method === "OPTIONS") return new Reply(200, { json: "" });
    const found = here.find((candidate) => candidate.method === method);
    if (!found) return new Reply(405);
    try {
      const swallowed = request.headers["content-type"] === "application/x-www-form-urlencoded";
      const args = method === "GET" ? query(url, body) : parse(swallowed ? "" : body);
      check(args, found);
      const caller = this.#caller(request.headers.authorization, request.headers["x-auth-token"]);
      const path_ = found.pattern.exec(path)?.slice(1) ?? [];
      const json = await found.answer({ world: this.world, caller, path: path_, args });
      return json instanceof Reply ? json : new Reply(200, { json: json ?? "" });
    } catch (error) {
      if (!(error instanceof HilError)) return new Reply(500);
      return new Reply(error.status, { json: { type: error.type, msg: error.message } });
    }
  }

  #caller(authorization: string | undefined, token: string | string[] | undefined): Caller {
    if (this.world.settings.auth === "null") return { name: "", admin: true, projects: new Set() };
    const known = this.world.tokens.get(String(token));
    if (known) return known;
    const [, encoded] = /^Basic (\S+)$/.exec(authorization ?? "") ?? [];
    const [, name = "", password] = /^([^:]+):(.*)$/.exec(Buffer.from(encoded ?? "", "base64").toString()) ?? [];
    if (password === undefined) throw new HilError("AuthorizationError", "Authentication failed.");
    const user = this.world.users.get(name) ?? missing(`User ${name}`);
    if (user.password !== password) throw new HilError("AuthorizationError", "Authentication failed.");
    return { name, ...user };
  }
}

function query({ searchParams }: URL, body: string): object {
  if (body !== "") throw new HilError("ValidationError", "GET request made with a non-empty request body");
  if ([...searchParams.values()].includes("")) throw new HilError("ValidationError", "Empty parameter specified");
  return Object.fromEntries(searchParams);
}

function parse(body: string): object {
  if (body === "") return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    throw new HilError("ValidationError", "The request body is not valid JSON");
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw new Error("AttributeError");
  return parsed;
}

function check(args: object, { shape, open }: { shape: Shape; open: boolean }): void {
  const unknown = Object.keys(args).some((key) => !open && !(key in shape));
  const wrong = Object.entries(shape).some(([key, type]) => {
    const value = (args as Record<string, unknown>)[key];
    if (value === undefined) return !type.endsWith("?");
    return type !== "any" && (typeof value !== type.replace("?", "") || value === null);
  });
  if (unknown || wrong) throw new HilError("ValidationError", "Request arguments are not valid for this request");
}

/** Everything is said to be HTML; what is no answer of the API itself, is. */
function send(response: ServerResponse, { status, json, location }: Reply): void {
  response.writeHead(status, { "content-type": "text/html; charset=utf-8", ...(location && { location }) });
  if (json === "") response.end();
  else response.end(json === undefined ? `<!doctype html><title>${status}</title>` : `${JSON.stringify(json)}\n`);
}
