import type { Server } from "node:http";
import { createAdaptorServer } from "@hono/node-server";
import { ApplianceError } from "../../errors.ts";
import { type BootAppParts, bootApp } from "./app.ts";
import { limitConnections } from "./connections.ts";

/** Limits of the boot server: hundreds of machines that boot at once fit, one that misbehaves starves nobody. */
export const BOOT_SERVER_LIMITS = {
  connections: 2048,
  connectionsPerAddress: 32,
  headerBytes: 8 * 1024,
  /** For all headers, however slowly they drip. */
  headersMs: 10_000,
  /** For a whole request, its body included. */
  requestMs: 30_000,
  /** Between two requests of one connection. */
  keepAliveMs: 5_000,
  /** Without any progress of an answer. */
  stalledMs: 60_000,
  /** For answers under way when the server stops. */
  graceMs: 2_000,
};

/** What the HTTP server of one boot network is made of. */
export type BootServerParts = BootAppParts & {
  /** Descriptor of a listening socket of this network; without it, `network.address` and `network.httpPort` are bound. */
  fd?: number;
  limits?: Partial<typeof BOOT_SERVER_LIMITS>;
};

export type BootServer = {
  /** The port that is listened on. */
  readonly port: number;
  /** Takes no more connections; resolves when the running answers are out, or their grace is over. */
  stop(): Promise<void>;
};

/** Serves scripts, phone-homes and assets of one provisioning network. UNAVAILABLE when its address can't be bound. */
export async function startHttpBootServer(parts: BootServerParts): Promise<BootServer> {
  const limits = { ...BOOT_SERVER_LIMITS, ...parts.limits };
  const app = bootApp(parts);
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: Math.min(1000, limits.headersMs),
    },
  }) as Server;
  server.setTimeout(limits.stalledMs);
  limitConnections(server, limits);

  const { address, httpPort, name } = parts.network;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      reject(
        new ApplianceError(
          "UNAVAILABLE",
          `HTTP boot server of network ${name} can't listen on ${address}:${httpPort}`,
          {
            cause,
            details: { remedy: "is the address on the interface, and is no other web server on this port?" },
          },
        ),
      );
    });
    server.listen(parts.fd === undefined ? { host: address, port: httpPort } : { fd: parts.fd }, resolve);
  });
  const bound = server.address();
  const port = typeof bound === "object" && bound ? bound.port : httpPort;
  parts.log.info({ network: name, address, port }, "HTTP boot server listens");
  return { port, stop: () => stop(server, limits.graceMs) };
}

async function stop(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
