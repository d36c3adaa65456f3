import dgram from "node:dgram";
import { once } from "node:events";
import type { FileTransferSink } from "../boot/file-transfer.ts";
import type { Clock } from "../clock.ts";
import { ApplianceError, type ErrorCode } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import { decodeTftp, encodeTftp, TFTP_ERROR, type TftpPacket, type TftpRequest } from "../wire/tftp/packet.ts";
import { Session } from "./session.ts";

export type TftpServerParts = {
  /** Bound to the TFTP port. It stays the caller's: `stop` leaves it open. */
  socket: dgram.Socket;
  /** Ours on the served network: all that is sent comes from it. */
  address: Ipv4;
  /** MTU of the served interface, in bytes: no block is larger than fits it. */
  mtu: number;
  /** The directory that is served. */
  root: string;
  /** Transfers at a time: of all clients together, and of one address. */
  limits: { maxTransfers: number; maxTransfersPerClient: number };
  onTransfer: FileTransferSink;
  log: Log;
  clock: Clock;
};

export type TftpServer = {
  /** Transfers that run now. */
  readonly running: number;
  /** Takes no more requests, ends the running transfers with an ERROR, and resolves when their sockets are closed. */
  stop(): Promise<void>;
};

/** What the client is told; other codes are our trouble, and 0 ("not defined"). */
const ERROR_CODES: Partial<Record<ErrorCode, number>> = {
  NOT_FOUND: TFTP_ERROR.fileNotFound,
  FORBIDDEN: TFTP_ERROR.accessViolation,
  INVALID: TFTP_ERROR.accessViolation,
  UNSUPPORTED: TFTP_ERROR.illegalOperation,
};

/** Serves files by TFTP, read-only (RFC 1350, 2347, 2348, 2349, 7440), until stopped. */
export async function startTftpServer(parts: TftpServerParts): Promise<TftpServer> {
  const refusals = dgram.createSocket("udp4");
  const listening = once(refusals, "listening");
  refusals.bind({ address: parts.address, port: 0, exclusive: true });
  await listening;
  return new Server(parts, refusals);
}

class Server implements TftpServer {
  readonly #parts: TftpServerParts;
  /** Sends the ERRORs of requests that begin no transfer: one descriptor, however many are refused. */
  readonly #refusals: dgram.Socket;
  /** By the client's transfer id: its address and port (RFC 1350 4). */
  readonly #sessions = new Map<string, Session>();
  readonly #onMessage = (bytes: Buffer, from: dgram.RemoteInfo) => this.#received(bytes, from);
  #stopping = false;

  constructor(parts: TftpServerParts, refusals: dgram.Socket) {
    this.#parts = parts;
    this.#refusals = refusals;
    parts.socket.on("message", this.#onMessage);
    refusals.on("error", (error) => parts.log.debug({ error }, "TFTP refusal not sent"));
  }

  get running(): number {
    return this.#sessions.size;
  }

  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#parts.socket.off("message", this.#onMessage);
    await Promise.all([...this.#sessions.values()].map((session) => session.stop("the server is stopping")));
    this.#refusals.close();
  }

  #received(bytes: Buffer, from: dgram.RemoteInfo): void {
    // Nobody can be answered at port 0; only a forger sends from there.
    if (from.port === 0) return;
    const client = from.address as Ipv4;
    let packet: TftpPacket;
    try {
      packet = decodeTftp(bytes);
    } catch (error) {
      this.#parts.log.debug({ client, error }, "not a TFTP packet");
      return;
    }
    if (packet.type === "write") {
      this.#refuse(packet.file, client, from.port, new ApplianceError("FORBIDDEN", "this server is read-only"));
    } else if (packet.type === "read") {
      this.#requested(packet, bytes, client, from.port);
    }
  }

  #requested(request: TftpRequest, bytes: Buffer, client: Ipv4, port: number): void {
    const id = `${client}:${port}`;
    const earlier = this.#sessions.get(id);
    // The same request again is a retransmission: the running transfer answers it.
    if (earlier?.answers(bytes)) return;
    if (earlier) {
      // ROMs use the same port for one file after the other; our last packet or theirs was lost.
      earlier.abandon();
      this.#sessions.delete(id);
    }
    const excess = this.#excess(client);
    if (excess) {
      this.#refuse(request.file, client, port, excess);
      return;
    }
    const session = new Session(this.#parts, request, bytes, client, port);
    this.#sessions.set(id, session);
    void session.serve().then((refusal) => {
      if (this.#sessions.get(id) === session) this.#sessions.delete(id);
      if (refusal) this.#refuse(request.file, client, port, refusal);
    });
  }

  #excess(client: Ipv4): ApplianceError | undefined {
    const { maxTransfers, maxTransfersPerClient } = this.#parts.limits;
    if (this.#sessions.size >= maxTransfers) return new ApplianceError("BUSY", "too many transfers at a time");
    let ofClient = 0;
    for (const session of this.#sessions.values()) if (session.client === client) ofClient++;
    if (ofClient < maxTransfersPerClient) return undefined;
    return new ApplianceError("BUSY", "too many transfers at a time for this client");
  }

  #refuse(file: string, client: Ipv4, port: number, error: ApplianceError): void {
    const { log, onTransfer } = this.#parts;
    log.warn({ client, file, code: error.code, reason: error.message }, "TFTP request refused");
    const code = ERROR_CODES[error.code] ?? TFTP_ERROR.undefined;
    if (!this.#stopping) this.#refusals.send(encodeTftp({ type: "error", code, message: error.message }), port, client);
    onTransfer({ client, file, bytes: 0, seconds: 0, retransmissions: 0, outcome: "refused", reason: error.message });
  }
}
