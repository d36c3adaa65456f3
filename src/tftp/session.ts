import type { FileTransfer } from "../boot/file-transfer.ts";
import { type ApplianceError, toApplianceError } from "../errors.ts";
import { DatagramRuns } from "../net/datagram-runs.ts";
import type { Ipv4 } from "../values/ipv4.ts";
import { acceptOptions } from "../wire/tftp/options.ts";
import type { TftpRequest } from "../wire/tftp/packet.ts";
import { BlockRing } from "./block-ring.ts";
import { openRequested, type RequestedFile } from "./requested-file.ts";
import type { TftpServerParts } from "./server.ts";
import { Transfer, type TransferEnd } from "./transfer.ts";
import { openTransferSocket, type TransferSocket } from "./transfer-socket.ts";

/** One read request from arrival to its last packet: opens the file and a socket, runs the transfer, reports it. */
export class Session {
  readonly client: Ipv4;
  readonly #port: number;
  readonly #parts: TftpServerParts;
  readonly #request: TftpRequest;
  readonly #requestBytes: Uint8Array;
  #transfer: Transfer | undefined;
  /** What ended it while its file was being opened. */
  #ending: ((transfer: Transfer) => void) | undefined;
  #served: Promise<ApplianceError | undefined> | undefined;

  constructor(parts: TftpServerParts, request: TftpRequest, requestBytes: Uint8Array, client: Ipv4, port: number) {
    this.#parts = parts;
    this.#request = request;
    this.#requestBytes = requestBytes;
    this.client = client;
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

  /** Ends it without a word to the client, which has gone on to another request from the same port. */
  abandon(): void {
    this.#end((transfer) => transfer.abandon("the client asked anew"));
  }

  #end(ending: (transfer: Transfer) => void): void {
    if (this.#transfer) ending(this.#transfer);
    else this.#ending = ending;
  }

  async #serve(): Promise<void> {
    const { root, address } = this.#parts;
    const file = await openRequested(root, this.#request.file, this.#request.mode);
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
    const transfer = new Transfer({ ...terms, socket, runs, ring, clock });
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
    log[fine ? "info" : "warn"](transfer, "TFTP transfer ended");
    onTransfer(transfer);
  }
}
