import { connect, type Socket } from "node:net";
import { type Agreed, type LoginOptions, logIn } from "./login.ts";
import { encodePdu, FINAL, NO_TAG, newHeader, OPCODE, type Pdu, PduReader } from "./pdu.ts";

export type InitiatorOptions = LoginOptions & {
  address: string;
  port: number;
  lun?: number;
  /** Source address; the system's choice without it. */
  localAddress?: string;
};

/** How a command ended: SCSI status (0 is good) and the data or sense that came. */
export type CommandEnd = { status: number; data: Buffer; sense: Buffer };

type Task = {
  header: Buffer;
  write: Buffer | undefined;
  data: Buffer;
  settle: { resolve: (end: CommandEnd) => void; reject: (error: Error) => void };
};

const READ = 0x40;
const WRITE = 0x20;
const SIMPLE = 1;
const TEST_UNIT_READY = [0, 0, 0, 0, 0, 0];
const MOST_ATTENTIONS = 5;
const BLOCK_BYTES = 512;

/**
 * An iSCSI session of one connection (RFC 7143) that a test holds in its own hands: what was acknowledged is known
 * outside whatever gets killed, and nothing is retried behind its back. When the connection ends, all commands under
 * way reject: whether they happened is then unknown.
 */
export class Initiator {
  readonly #socket: Socket;
  readonly #lun: number;
  readonly #agreed: Agreed;
  readonly #tasks = new Map<number, Task>();
  readonly #waiting: Task[] = [];
  #tag = 0;
  #commandNumber = 1;
  #maxCommand: number;
  #expectedStatus: number;
  #ended: Error | undefined;

  /** Connects and logs in. Rejects when refused, with iSCSI's status. */
  static async logIn(options: InitiatorOptions): Promise<Initiator> {
    const { address: host, port, localAddress } = options;
    const socket = connect({ host, port, noDelay: true, ...(localAddress ? { localAddress } : {}) });
    const reader = new PduReader();
    let deliver: (pdu: Pdu) => void = () => {};
    let fail: (error: Error) => void = () => {};
    socket.on("data", (chunk) => {
      for (const pdu of reader.push(chunk)) deliver(pdu);
    });
    socket.on("error", (error) => fail(error));
    socket.on("close", () => fail(new Error("the target closed the connection")));
    try {
      const session = await logIn(
        options,
        (bytes) =>
          new Promise((resolve, reject) => {
            deliver = resolve;
            fail = reject;
            for (const part of bytes) socket.write(part);
          }),
      );
      const initiator = new Initiator(socket, options.lun ?? 1, session);
      deliver = (pdu) => initiator.#receive(pdu);
      fail = (error) => initiator.#fail(error);
      await initiator.#becomeReady();
      return initiator;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  private constructor(socket: Socket, lun: number, session: Awaited<ReturnType<typeof logIn>>) {
    this.#socket = socket;
    this.#lun = lun;
    this.#agreed = session;
    this.#expectedStatus = session.statusNumber;
    this.#maxCommand = session.maxCommand;
  }

  /** Runs any SCSI command. Rejects only when the connection ends before its status came. */
  command(cdb: readonly number[], transfer: { read?: number; write?: Buffer } = {}): Promise<CommandEnd> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      this.#tag = (this.#tag + 1) % NO_TAG;
      const { read = 0, write } = transfer;
      const header = newHeader(OPCODE.command, FINAL | SIMPLE | (read ? READ : 0) | (write ? WRITE : 0), this.#tag);
      header.writeUInt8(this.#lun, 9);
      header.writeUInt32BE(write?.length ?? read, 20);
      Buffer.from(cdb).copy(header, 32);
      this.#waiting.push({ header, write, data: Buffer.alloc(read), settle: { resolve, reject } });
      this.#sendWaiting();
    });
  }

  /** Blocks of 512 bytes. Rejects for any status but good. */
  async read(block: number, blocks: number): Promise<Buffer> {
    return good("read", await this.command(cdb16(0x88, 0, block, blocks), { read: blocks * BLOCK_BYTES })).data;
  }

  /** Resolves once the target has acknowledged. `fua`: force unit access. */
  async write(block: number, bytes: Buffer, { fua = false } = {}): Promise<void> {
    good("write", await this.command(cdb16(0x8a, fua ? 0x08 : 0, block, bytes.length / BLOCK_BYTES), { write: bytes }));
  }

  /** WRITE SAME (16): one block's content for all of them, or holes. */
  async writeSame(block: number, blocks: number, content: Buffer, { unmap = false } = {}): Promise<void> {
    good("write same", await this.command(cdb16(0x93, unmap ? 0x08 : 0, block, blocks), { write: content }));
  }

  /** UNMAP: these blocks read as zeros. */
  async unmap(block: number, blocks: number): Promise<void> {
    const list = Buffer.alloc(24);
    list.writeUInt16BE(22, 0);
    list.writeUInt16BE(16, 2);
    list.writeBigUInt64BE(BigInt(block), 8);
    list.writeUInt32BE(blocks, 16);
    good("unmap", await this.command([0x42, 0, 0, 0, 0, 0, 0, 0, list.length, 0], { write: list }));
  }

  /** SYNCHRONIZE CACHE (16). */
  async flush(): Promise<void> {
    good("flush", await this.command(cdb16(0x91, 0, 0, 0)));
  }

  /** Ends the connection; no logout, as a node that loses its power. */
  cut(): void {
    this.#fail(new Error("cut by the initiator"));
  }

  /** The first commands of a session are answered by what has happened to the disk (UNIT ATTENTION, SAM-5 5.14). */
  async #becomeReady(): Promise<void> {
    for (let attentions = 0; attentions < MOST_ATTENTIONS; attentions++) {
      if ((await this.command(TEST_UNIT_READY)).status === 0) return;
    }
    throw new Error(`LUN ${this.#lun} does not become ready`);
  }

  #sendWaiting(): void {
    this.#socket.cork();
    for (let task = this.#waiting[0]; task && this.#commandNumber <= this.#maxCommand; task = this.#waiting[0]) {
      this.#waiting.shift();
      const { targetSegment, firstBurst, immediateData } = this.#agreed;
      const { header, write } = task;
      header.writeUInt32BE(this.#commandNumber++, 24);
      header.writeUInt32BE(this.#expectedStatus, 28);
      this.#tasks.set(header.readUInt32BE(16), task);
      this.#send(header, immediateData ? write?.subarray(0, Math.min(targetSegment, firstBurst)) : undefined);
    }
    this.#socket.uncork();
  }

  #send(header: Buffer, data?: Buffer): void {
    for (const part of encodePdu(header, data)) if (part.length > 0) this.#socket.write(part);
  }

  #receive({ opcode, header, data }: Pdu): void {
    this.#maxCommand = header.readUInt32BE(32);
    const tag = header.readUInt32BE(16);
    const task = this.#tasks.get(tag);
    if (opcode === OPCODE.dataIn && task) {
      data.copy(task.data, header.readUInt32BE(40));
      if ((header[1]! & 1) === 1) this.#finish(tag, header, Buffer.alloc(0));
    } else if (opcode === OPCODE.response) {
      this.#finish(tag, header, data.subarray(2));
    } else if (opcode === OPCODE.readyToTransfer && task) {
      this.#sendRequested(header, task);
    } else if (opcode === OPCODE.nopIn) {
      if (header.readUInt32BE(20) !== NO_TAG) this.#answerPing(header);
    } else {
      this.#fail(new Error(`unexpected PDU 0x${opcode.toString(16)}`));
    }
    this.#sendWaiting();
  }

  #finish(tag: number, header: Buffer, sense: Buffer): void {
    this.#expectedStatus = header.readUInt32BE(24) + 1;
    const task = this.#tasks.get(tag);
    this.#tasks.delete(tag);
    task?.settle.resolve({ status: header[3]!, data: task.data, sense });
  }

  #sendRequested(request: Buffer, { write }: Task): void {
    const [offset, length] = [request.readUInt32BE(40), request.readUInt32BE(44)];
    const segment = this.#agreed.targetSegment;
    for (let sent = 0, number = 0; sent < length; sent += segment, number++) {
      const size = Math.min(segment, length - sent);
      const header = newHeader(OPCODE.dataOut, sent + size === length ? FINAL : 0, request.readUInt32BE(16));
      header.writeUInt8(this.#lun, 9);
      header.writeUInt32BE(request.readUInt32BE(20), 20);
      header.writeUInt32BE(this.#expectedStatus, 28);
      header.writeUInt32BE(number, 36);
      header.writeUInt32BE(offset + sent, 40);
      this.#send(header, write!.subarray(offset + sent, offset + sent + size));
    }
  }

  #answerPing(ping: Buffer): void {
    const header = newHeader(0x40 | OPCODE.nopOut, FINAL, NO_TAG);
    ping.copy(header, 8, 8, 16);
    ping.copy(header, 20, 20, 24);
    header.writeUInt32BE(this.#commandNumber, 24);
    header.writeUInt32BE(this.#expectedStatus, 28);
    this.#send(header);
  }

  #fail(error: Error): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#socket.destroy();
    for (const { settle } of [...this.#tasks.values(), ...this.#waiting]) settle.reject(error);
    this.#tasks.clear();
    this.#waiting.length = 0;
  }
}

function good(what: string, end: CommandEnd): CommandEnd {
  if (end.status === 0) return end;
  throw new Error(`${what}: SCSI status ${end.status}, sense ${end.sense.subarray(0, 18).toString("hex")}`);
}

/** Opcode, byte 1, logical block, length (SBC-3: READ, WRITE, WRITE SAME, SYNCHRONIZE CACHE (16)). */
function cdb16(opcode: number, flags: number, block: number, blocks: number): number[] {
  const cdb = Buffer.alloc(16);
  cdb[0] = opcode;
  cdb[1] = flags;
  cdb.writeBigUInt64BE(BigInt(block), 2);
  cdb.writeUInt32BE(blocks, 10);
  return [...cdb];
}
