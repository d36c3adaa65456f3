import dgram from "node:dgram";
import { once } from "node:events";
import type { FileTransferSink } from "../boot/file-transfer.ts";
import type { Clock } from "../clock.ts";
import { ApplianceError, type ErrorCode } from "../errors.ts";
import type { Log } from "../log.ts";
import { Quota } from "../net/quota.ts";
import { SharedFiles } from "../net/shared-files.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import { decodeTftp, encodeTftp, TFTP_ERROR, type TftpPacket, type TftpRequest } from "../wire/tftp/packet.ts";
import { Session } from "./session.ts";
import { type SessionLimits, Sessions } from "./sessions.ts";

/** What a TFTP server on one socket is made of. */
export type TftpServerParts = {
  /** Bound to the TFTP port. It stays the caller's: `stop` leaves it open. */
  socket: dgram.Socket;
  /** Ours on the served network: all that is sent comes from it. */
  address: Ipv4;
  /** MTU of the served interface, in bytes: no block is larger than fits it. */
  mtu: number;
  /** The directory that is served. */
  root: string;
  /** Transfers at a time. */
  limits: SessionLimits;
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

/** Requests of one address that are heard: GRUB asks for some dozens of modules in a second or two. */
const REQUESTS_PER_CLIENT = { most: 250, windowMs: 10_000 };

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
  readonly #sessions: Sessions;
  readonly #files: SharedFiles;
  readonly #requests = new Quota(REQUESTS_PER_CLIENT);
  readonly #onMessage = (bytes: Buffer, from: dgram.RemoteInfo) => this.#received(bytes, from);
  #stopping = false;

  constructor(parts: TftpServerParts, refusals: dgram.Socket) {
    this.#parts = parts;
    this.#refusals = refusals;
    this.#sessions = new Sessions(parts.limits);
    this.#files = new SharedFiles(parts.root, parts.clock);
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
    await Promise.all(this.#sessions.all().map((session) => session.stop("the server is stopping")));
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
    if (packet.type !== "write" && packet.type !== "read") return;
    // Unanswered, unlogged: a client in earnest asks again, and a flood costs little more than its reception.
    if (!this.#requests.take(client, this.#parts.clock.now())) return;
    if (packet.type === "write") {
      this.#refuse(packet.file, client, from.port, new ApplianceError("FORBIDDEN", "this server is read-only"));
    } else {
      this.#requested(packet, bytes, client, from.port);
    }
  }

  #requested(request: TftpRequest, bytes: Buffer, client: Ipv4, port: number): void {
    const earlier = this.#sessions.find(`${client}:${port}`);
    // The same request again is a retransmission: the running transfer answers it.
    if (earlier?.answers(bytes)) return;
    if (earlier) {
      // ROMs use the same port for one file after the other; our last packet or theirs was lost.
      earlier.abandon("the client asked anew");
      this.#sessions.remove(earlier);
    }
    const excess = this.#sessions.makeRoom(client);
    if (excess) {
      this.#refuse(request.file, client, port, excess);
      return;
    }
    const onAnswered = (session: Session) => this.#sessions.answered(session);
    const parts = { ...this.#parts, files: this.#files, onAnswered };
    const session = new Session(parts, request, bytes, client, port);
    this.#sessions.add(session);
    void session.serve().then((refusal) => {
      this.#sessions.remove(session);
      if (refusal) this.#refuse(request.file, client, port, refusal);
    });
  }

  #refuse(file: string, client: Ipv4, port: number, error: ApplianceError): void {
    const { log, onTransfer } = this.#parts;
    log.warn({ client, file, code: error.code, reason: error.message }, "TFTP request refused");
    const code = ERROR_CODES[error.code] ?? TFTP_ERROR.undefined;
    if (!this.#stopping) this.#refusals.send(encodeTftp({ type: "error", code, message: error.message }), port, client);
    onTransfer({ client, file, bytes: 0, seconds: 0, retransmissions: 0, outcome: "refused", reason: error.message });
  }
}
