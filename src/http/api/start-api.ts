import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import { join } from "node:path";
import { createAdaptorServer } from "@hono/node-server";
import type { Caller } from "../../access/caller.ts";
import { FailedLogins } from "../../access/failed-logins.ts";
import { LocalAuthenticator } from "../../access/local-authenticator.ts";
import { peerCredentials } from "../../net/peer-credentials.ts";
import { AdminTokenFile } from "./admin-token-file.ts";
import type { Api, ApiEnvironment, ApiParts } from "./api.ts";
import { createApi } from "./create-api.ts";
import { listenOnPath, listenOnPort } from "./listen.ts";

/** Of a TCP listener for the token in api.tokenFile. */
const DEFAULT_PORT = 8470;
/** What answers that are under way get before they are cut. */
const GRACE_MS = 2_000;

/** Longer than any answer is waited for. */
const SILENCE_MS = 120_000;
/** A host that is gone without a word is noticed after so long, also where silence is borne. */
const PROBE_MS = 60_000;

/** The API, listening. */
export type RunningApi = {
  socketPath: string;
  /** Where it listens for TCP, if it does. */
  tcp?: { address: string; port: number };
  /** Takes no more requests, ends those that wait, and removes the socket. */
  stop(): Promise<void>;
};

/**
 * Opens the admin API on `<runtimeDirectory>/api.sock`, and on TCP where api.listen.port or api.tokenFile is given.
 * A connection on which nothing moves for `silenceMs` is ended. LOCKED when another process listens there; INVALID for a
 * bad token file; INTERNAL when a route states no right.
 */
export async function startApi(parts: ApiParts, silenceMs = SILENCE_MS): Promise<RunningApi> {
  const { config } = parts;
  const { tokenFile } = config.api;
  const authenticators = [
    ...(tokenFile === undefined ? [] : [await AdminTokenFile.read(tokenFile)]),
    ...parts.appliance.foreignAuthenticators,
    // whatever nobody else is for, so that an unknown user costs as much as a known one
    new LocalAuthenticator(parts.appliance),
  ];
  const api = createApi(parts, { authenticators, failedLogins: new FailedLogins(parts.appliance.clock) });
  const socketPath = join(config.runtimeDirectory, "api.sock");
  const servers: Server[] = [];
  const stopping = new AbortController();
  const stop = async () => {
    stopping.abort();
    await Promise.all(servers.map(closeServer));
  };
  try {
    const bind = (socket: Socket) => ({
      stopping: stopping.signal,
      cutOff: () => socket.destroy(),
      // the server's own limit holds again from the next request on
      bearSilence: () => socket.setTimeout(0),
    });
    const local = serve(api, silenceMs, (socket) => ({ ...bind(socket), localCaller: callerOf(socket) }));
    await listenOnPath(local, socketPath);
    servers.push(local);
    const port = config.api.listen.port ?? (tokenFile === undefined ? 0 : DEFAULT_PORT);
    if (port === 0) return { socketPath, stop };
    const remote = serve(api, silenceMs, (socket) => ({ ...bind(socket), source: socket.remoteAddress }));
    const tcp = await listenOnPort(remote, config.api.listen.address, port);
    servers.push(remote);
    return { socketPath, tcp, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function serve(api: Api, silenceMs: number, bindings: (socket: Socket) => ApiEnvironment["Bindings"]): Server {
  const server = createAdaptorServer({
    serverOptions: { keepAlive: true, keepAliveInitialDelay: PROBE_MS },
    fetch: (request, { incoming }) => api.fetch(request, bindings((incoming as IncomingMessage).socket)),
  }) as Server;
  // an upload takes its time; a connection on which nothing moves ends
  server.requestTimeout = 0;
  server.timeout = silenceMs;
  return server;
}

/** File mode says who may use the unix socket: whoever can holds all rights. */
function callerOf(socket: Socket): Caller {
  const uid = peerCredentials(socket)?.uid;
  return { name: uid === undefined ? "local" : `uid:${uid}`, grants: [{ role: "admin" }] };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), GRACE_MS);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
