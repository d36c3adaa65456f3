import type { FileTransfer } from "../boot/file-transfer.ts";
import { type ApplianceError, toApplianceError } from "../errors.ts";
import { DatagramRuns } from "../net/datagram-runs.ts";
import type { SharedFiles } from "../net/shared-files.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import { acceptOptions } from "../wire/tftp/options.ts";
import type { TftpRequest } from "../wire/tftp/packet.ts";
import { BlockRing } from "./block-ring.ts";
import { openRequested, type RequestedFile } from "./requested-file.ts";
import type { TftpServerParts } from "./server.ts";
import { Transfer, type TransferEnd } from "./transfer.ts";
import { openTransferSocket, type TransferSocket } from "./transfer-socket.ts";

/** What one transfer needs of its server. */
export type SessionParts = Pick<TftpServerParts, "address" | "mtu" | "onTransfer" | "log" | "clock"> & {
  files: SharedFiles;
  /** Told once, when the client answers for the first time: it is there, and asked under its own address. */
  onAnswered: (session: Session) => void;
};

/** One read request from arrival to its last packet: opens the file and a socket, runs the transfer, reports it. */
export class Session {
  readonly client: Ipv4;
  /** The client's transfer id: its address and port (RFC 1350 4). */
  readonly id: string;
  readonly #port: number;
  readonly #parts: SessionParts;
  readonly #request: TftpRequest;
  readonly #requestBytes: Uint8Array;
  #transfer: Transfer | undefined;
  /** What ended it while its file was being opened. */
  #ending: ((transfer: Transfer) => void) | undefined;
  #abandoned = false;
  #served: Promise<ApplianceError | undefined> | undefined;

  constructor(parts: SessionParts, request: TftpRequest, requestBytes: Uint8Array, client: Ipv4, port: number) {
    this.#parts = parts;
    this.#request = request;
    this.#requestBytes = requestBytes;
    this.client = client;
    this.id = `${client}:${port}`;
    this.#port = port;
  }

  /** Whether a request of the same client and port is this one, sent again; not so once the client has fallen silent. */
  answers(requestBytes: Uint8Array): boolean {
    return Buffer.compare(requestBytes, this.#requestBytes) === 0 && this.#transfer?.stalled !== true;
  }

  /** Serves the request; answers why it could not begin, or undefined after a transfer of any outcome. Never rejects. */
  serve(): Promise<ApplianceError | undefined> {
    this.#served = this.#serve().then(
      () => undefined,
      (error) => toApplianceError(error),
    );
    return this.#served;
  }

  /** Ends it with an ERROR to the client; resolves when file and socket are closed. */
  async stop(reason: string): Promise<void> {
    this.#end((transfer) => transfer.stop(reason));
    await this.#served;
  }

  /** Ends it without a word to the client: it may have gone on to another request from the same port, or was never there. */
  abandon(reason: string): void {
    this.#abandoned = true;
    this.#end((transfer) => transfer.abandon(reason));
  }

  #end(ending: (transfer: Transfer) => void): void {
    if (this.#transfer) ending(this.#transfer);
    else this.#ending = ending;
  }

  async #serve(): Promise<void> {
    const { files, address } = this.#parts;
    const file = await openRequested(files, this.#request.file, this.#request.mode);
    try {
      const own = await openTransferSocket(address, { address: this.client, port: this.#port });
      try {
        await this.#send(file, own);
      } finally {
        own.socket.close();
      }
    } finally {
      await file.close();
    }
  }

  async #send(file: RequestedFile, { socket, fd }: TransferSocket): Promise<void> {
    const { clock, mtu } = this.#parts;
    const terms = acceptOptions(this.#request.options, file.sizeBytes, mtu);
    const ring = new BlockRing(file.read, file.sizeBytes, terms.blockBytes, terms.windowBlocks);
    const runs = new DatagramRuns(socket, fd, ring.packetBytes);
    const transfer = new Transfer({
      ...terms,
      socket,
      runs,
      ring,
      clock,
      onAnswered: () => this.#parts.onAnswered(this),
    });
    this.#transfer = transfer;
    this.#ending?.(transfer);
    const began = clock.now();
    const end = await transfer.run();
    const complete = end.outcome === "complete" || end.outcome === "unconfirmed";
    const bytes = complete ? file.sizeBytes : Math.min(file.sizeBytes, transfer.ackedBlocks * terms.blockBytes);
    this.#report(end, bytes, (clock.now() - began) / 1000, transfer.retransmissions);
  }

  #report(end: TransferEnd, bytes: number, seconds: number, retransmissions: number): void {
    const { log, onTransfer } = this.#parts;
    const transfer: FileTransfer = {
      client: this.client,
      file: this.#request.file,
      bytes,
      seconds,
      retransmissions,
      ...end,
    };
    const fine = end.outcome === "complete" || end.outcome === "size-query";
    // A flood abandons many, and must not fill the log.
    log[fine ? "info" : this.#abandoned ? "debug" : "warn"](transfer, "TFTP transfer ended");
    onTransfer(transfer);
  }
}
