import type dgram from "node:dgram";
import type { FileTransferOutcome } from "../boot/file-transfer.ts";
import type { Clock } from "../clock.ts";
import { toApplianceError } from "../errors.ts";
import type { DatagramRuns } from "../net/datagram-runs.ts";
import { decodeTftp, encodeTftp, TFTP_ERROR, type TftpOptions } from "../wire/tftp/packet.ts";
import type { BlockRing } from "./block-ring.ts";
import {
  beginSending,
  blockAcked,
  blocksSent,
  type SendWindow,
  sendLimit,
  timedOut,
  timeoutMs,
} from "./send-window.ts";

/** How a transfer ended; `reason` unless it is complete. */
export type TransferEnd = { outcome: FileTransferOutcome; reason?: string };

type TransferParts = {
  /** Bound to our address and connected to the client: the kernel keeps strangers out (RFC 1350 4). */
  socket: dgram.Socket;
  /** Sends the ring's packets on that socket. */
  runs: DatagramRuns;
  ring: BlockRing;
  windowBlocks: number;
  timeoutSeconds: number | undefined;
  /** Content of the OACK; none is sent when empty. */
  accepted: TftpOptions;
  clock: Clock;
  /** Told of the first acknowledgement. */
  onAnswered: () => void;
};

/** Longest text of an ERROR: a small datagram, whatever the reason. */
const MAX_MESSAGE = 200;

/** Carries one file to one client: the send window wired to a socket, a file and a clock. */
export class Transfer {
  readonly #parts: TransferParts;
  readonly #over = new AbortController();
  #window: SendWindow;
  #end: TransferEnd | undefined;
  /** Counts packets from the client that brought the transfer on, to tell silence. */
  #progress = 0;
  #progressAt: number;

  constructor(parts: TransferParts) {
    this.#parts = parts;
    const { windowBlocks, timeoutSeconds, accepted, ring } = parts;
    this.#window = beginSending({ last: ring.last, windowBlocks, oack: accepted.size > 0, timeoutSeconds });
    this.#progressAt = parts.clock.now();
  }

  /** Blocks that were sent more than once. */
  get retransmissions(): number {
    return this.#window.retransmissions;
  }

  /** Highest block that the client has. */
  get ackedBlocks(): number {
    return Math.max(0, this.#window.acked);
  }

  /** Whether the client had begun and has now fallen silent: then its next identical request is a new start. */
  get stalled(): boolean {
    return this.#window.acked > 0 && this.#window.timeouts > 0;
  }

  /** Sends the file. Ends when the client has it, breaks off or falls silent, or after `stop`. Never rejects. */
  async run(): Promise<TransferEnd> {
    const { socket } = this.#parts;
    socket.on("message", (bytes) => this.#received(bytes));
    socket.on("error", (error) => this.#finish(this.#broken(error)));
    this.#advance();
    await this.#watchSilence();
    return this.#end ?? { outcome: "failed" };
  }

  /** Ends the transfer from our side, and tells the client. */
  stop(reason: string): void {
    this.#tell(reason);
    this.#finish({ outcome: "failed", reason });
  }

  /** Ends it without a word: a client that has moved on would take an ERROR for an answer to its next request. */
  abandon(reason: string): void {
    this.#finish({ outcome: "aborted", reason });
  }

  #received(bytes: Uint8Array): void {
    if (this.#end !== undefined) return;
    let packet: ReturnType<typeof decodeTftp>;
    try {
      packet = decodeTftp(bytes);
    } catch {
      return; // A broken packet is a lost one.
    }
    if (packet.type === "error") this.#finish(this.#brokenOff(packet.code, packet.message));
    if (packet.type === "ack") this.#acked(packet.block);
  }

  #acked(block: number): void {
    const now = this.#parts.clock.now();
    const window = blockAcked(this.#window, block, now);
    if (window === this.#window) return;
    if (!this.#window.answered && window.answered) this.#parts.onAnswered();
    this.#window = window;
    this.#progress++;
    this.#progressAt = now;
    if (window.phase === "done") this.#finish({ outcome: "complete" });
    else this.#advance();
  }

  /** Sends what the window allows and memory holds, and reads on. */
  #advance(): void {
    if (this.#end !== undefined) return;
    const { socket, runs, ring, accepted, clock } = this.#parts;
    const { sent, acked } = this.#window;
    const limit = Math.min(sendLimit(this.#window), ring.loaded);
    if (sent < 0) socket.send(encodeTftp({ type: "oack", options: accepted }));
    for (let block = Math.max(1, sent + 1); block <= limit; ) {
      const run = ring.packets(block, limit);
      runs.send(run);
      block += Math.ceil(run.length / ring.packetBytes);
    }
    if (limit > sent) this.#window = blocksSent(this.#window, limit, clock.now());
    // A packet that still waits for the socket must keep its bytes: its slot may be the next to be filled.
    // Nothing is read for a client that has not confirmed its options: it may not be there at all.
    if (acked >= 0 && ring.wantsRead(acked) && runs.idle) this.#readOn(acked);
  }

  #readOn(acked: number): void {
    this.#parts.ring.read(acked).then(
      () => this.#advance(),
      (error) => this.stop(`reading failed: ${toApplianceError(error).message}`),
    );
  }

  /** Returns when the transfer is over; until then, each silence of `timeoutMs` is a timeout. */
  async #watchSilence(): Promise<void> {
    const { clock } = this.#parts;
    let wait = timeoutMs(this.#window);
    while (this.#end === undefined) {
      const seen = this.#progress;
      await clock.sleep(wait, this.#over.signal).catch(() => {});
      if (this.#end !== undefined) return;
      wait = timeoutMs(this.#window);
      if (seen !== this.#progress) {
        // Not silent: wait for the rest, counted from the last progress. A wall clock may jump.
        wait -= Math.min(wait - 1, Math.max(0, clock.now() - this.#progressAt));
        continue;
      }
      this.#window = timedOut(this.#window);
      if (this.#window.phase === "given-up") {
        this.#tell("no acknowledgement");
        return this.#finish(this.#lost("timeout", "the client fell silent"));
      }
      wait = timeoutMs(this.#window);
      this.#advance();
    }
  }

  #brokenOff(code: number, message: string): TransferEnd {
    const reason = `the client broke off: ${code} ${message}`.trim();
    // PXE ROMs and EDK2 ask with tsize, take the answer and say ERROR: that was the question.
    const askedForSize = this.#window.acked <= 0 && this.#parts.accepted.has("tsize");
    return { outcome: askedForSize ? "size-query" : "aborted", reason };
  }

  #broken(error: NodeJS.ErrnoException): TransferEnd {
    // ICMP said that nobody listens there any more.
    if (error.code === "ECONNREFUSED") return this.#lost("aborted", `the client's port is closed: ${error.message}`);
    return this.#lost("failed", `the way to the client is broken: ${error.message}`);
  }

  /** The end of a transfer whose client is gone: firmware may well have left with all it wanted. */
  #lost(outcome: FileTransferOutcome, reason: string): TransferEnd {
    const { peak, last } = this.#window;
    return { outcome: peak === last ? "unconfirmed" : outcome, reason };
  }

  #tell(message: string): void {
    if (this.#end !== undefined) return;
    const packet = { type: "error", code: TFTP_ERROR.undefined, message: message.slice(0, MAX_MESSAGE) } as const;
    this.#parts.socket.send(encodeTftp(packet));
  }

  #finish(end: TransferEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#over.abort();
  }
}
