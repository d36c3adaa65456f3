import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { ApplianceError, isApplianceError } from "../../errors.ts";
import { abortedError, driverFailed } from "../failure.ts";
import { JsonStream } from "./json-stream.ts";

/** Where an ovsdb-server listens: a unix socket here, or TLS with a certificate of the client; certificates and key in PEM. */
export type OvsdbAddress =
  | { socket: string }
  | { host: string; port: number; tls: { ca: string; certificate: string; key: string } };

export type OvsdbOptions = { address: OvsdbAddress; callSeconds?: number };

/** One operation of a transaction (RFC 7047, section 5.2). */
export type OvsdbOperation = { op: string; [member: string]: unknown };
/** Its result: `rows` of a select, `count` of a change, or `error` of the one that failed all. */
export type OvsdbResult = { rows?: Record<string, unknown>[]; count?: number; error?: string; details?: string };

type Waiting = { resolve(result: unknown): void; reject(error: unknown): void };
type Message = { id?: unknown; method?: string; params?: unknown; result?: unknown; error?: unknown };

/** An Open_vSwitch database of a real rack is far below it. */
const MAX_CHARS = 16 * 1024 * 1024;

/**
 * A client of ovsdb-server: JSON-RPC of RFC 7047 over one connection, made at the first call and anew after it was lost.
 * Every call has a deadline (`callSeconds`, default 10). Calls fail with UNAVAILABLE where nobody listens or the connection
 * is lost, TIMEOUT, CANCELLED, UNAUTHENTICATED where TLS fails, DRIVER_FAILED.
 */
export class Ovsdb {
  readonly #address: OvsdbAddress;
  readonly #callMs: number;
  readonly #waiting = new Map<number, Waiting>();
  #connection: Promise<Socket> | undefined;
  #lastId = 0;

  constructor({ address, callSeconds = 10 }: OvsdbOptions) {
    this.#address = address;
    this.#callMs = callSeconds * 1000;
  }

  /** Names of the databases served there. */
  async databases(signal: AbortSignal): Promise<string[]> {
    const names = await this.#call("list_dbs", [], "list databases", signal);
    if (Array.isArray(names) && names.every((name) => typeof name === "string")) return names;
    throw driverFailed("ovs", "list databases", "the answer is no list of names");
  }

  /** Does all operations or none; answers the result of each. That one failed is told in the results, not thrown. */
  async transact(operations: OvsdbOperation[], action: string, signal: AbortSignal): Promise<OvsdbResult[]> {
    const results = await this.#call("transact", ["Open_vSwitch", ...operations], action, signal);
    if (!Array.isArray(results)) throw driverFailed("ovs", action, "OVSDB's answer is no list of results");
    // Operations after the one that failed have null.
    return results.map((result) => result ?? {});
  }

  /** Whether another one holds this lock now. */
  async isLocked(lock: string, signal: AbortSignal): Promise<boolean> {
    const action = `look at the lock ${lock}`;
    try {
      const answer = (await this.#call("lock", [lock], action, signal)) as { locked?: unknown } | null;
      return answer?.locked === false;
    } finally {
      // or else it were ours, now or once the other one ends
      await this.#call("unlock", [lock], action, signal).catch(() => this.close());
    }
  }

  /** Closes the connection; calls under way fail. */
  async close(): Promise<void> {
    const socket = await this.#connection?.catch(() => undefined);
    socket?.destroy();
  }

  async #call(method: string, params: unknown[], action: string, signal: AbortSignal): Promise<unknown> {
    const either = AbortSignal.any([signal, AbortSignal.timeout(this.#callMs)]);
    if (either.aborted) throw abortedError(either, "ovs", action);
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const abort = () => {
      // What was asked must not be done later by a server that hangs, after its caller was told that it failed.
      if (this.#waiting.has(id)) this.#send("cancel", [id], null);
      reject(abortedError(either, "ovs", action));
    };
    either.addEventListener("abort", abort, { once: true });
    this.#connect()
      .then((socket) => {
        if (either.aborted) return;
        this.#waiting.set(id, { resolve, reject });
        socket.write(JSON.stringify({ method, params, id }));
      })
      .catch(reject);
    try {
      return await promise;
    } catch (error) {
      throw isApplianceError(error) ? error : driverFailed("ovs", action, String(error), { cause: error });
    } finally {
      either.removeEventListener("abort", abort);
      this.#waiting.delete(id);
    }
  }

  #send(method: string, params: unknown[], id: null): void {
    this.#connection?.then(
      (socket) => socket.write(JSON.stringify({ method, params, id })),
      () => {},
    );
  }

  #connect(): Promise<Socket> {
    this.#connection ??= new Promise<Socket>((resolve, reject) => {
      const socket = this.#open(() => resolve(socket));
      socket.setEncoding("utf8").setTimeout(this.#callMs, () => {
        if (socket.connecting) socket.destroy(new Error("no connection before the deadline"));
      });
      let failure: Error | undefined;
      socket.on("error", (error) => {
        failure = error;
      });
      socket.once("close", () => {
        this.#connection = undefined;
        const error = isApplianceError(failure) ? failure : this.#lost(failure);
        reject(error);
        for (const waiting of this.#waiting.values()) waiting.reject(error);
      });
      const stream = new JsonStream(MAX_CHARS);
      socket.on("data", (text) => {
        try {
          for (const one of stream.push(String(text))) this.#receive(JSON.parse(one), socket);
        } catch (error) {
          socket.destroy(error as Error);
        }
      });
    });
    return this.#connection;
  }

  #open(ready: () => void): Socket {
    if ("socket" in this.#address) return connect(this.#address.socket, ready);
    const { host, port, tls } = this.#address;
    return connectTls(
      {
        host,
        port,
        ca: tls.ca,
        cert: tls.certificate,
        key: tls.key,
        // Certificates of ovs-pki name no host: that the CA is the switches' own is what tells.
        checkServerIdentity: () => undefined,
      },
      ready,
    );
  }

  #receive({ id, method, params, result, error }: Message, socket: Socket): void {
    if (method === "echo") socket.write(JSON.stringify({ id, result: params, error: null }));
    if (method !== undefined) return;
    const waiting = this.#waiting.get(id as number);
    if (error === null || error === undefined) waiting?.resolve(result);
    else waiting?.reject(`OVSDB refused: ${JSON.stringify(error)}`);
  }

  #lost(cause: Error | undefined): ApplianceError {
    const { code = "" } = (cause ?? {}) as NodeJS.ErrnoException;
    const where = "socket" in this.#address ? this.#address.socket : `${this.#address.host}:${this.#address.port}`;
    const why = cause?.message ?? "it closed the connection";
    if (/^(ERR_SSL|ERR_TLS|CERT|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO)/.test(code)) {
      return new ApplianceError(
        "UNAUTHENTICATED",
        `the OVSDB at ${where} and the appliance do not trust each other: ${why}`,
        {
          details: { driver: "ovs", remedy: "check CA, certificate and key on both sides" },
          cause,
        },
      );
    }
    return new ApplianceError("UNAVAILABLE", `no OVSDB at ${where}: ${why}`, {
      details: { driver: "ovs", remedy: "check that ovsdb-server runs and listens there" },
      cause,
    });
  }
}
