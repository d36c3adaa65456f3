import dgram from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FileTransfer } from "../../../src/boot/file-transfer.ts";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { createLog } from "../../../src/log.ts";
import { startTftpServer, type TftpServer, type TftpServerParts } from "../../../src/tftp/server.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";

/** Time that passes fifty times as fast: minutes of silence in a second. */
export const hastyClock: Clock = {
  now: () => Date.now() * 50,
  sleep: (ms, signal) => systemClock.sleep(ms / 50, signal),
};

/** Time in which no timeout ever comes: what is seen twice was sent twice for another reason. */
export const patientClock: Clock = {
  now: () => Date.now(),
  sleep: (_, signal) =>
    new Promise((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      if (signal?.aborted) reject(signal.reason);
    }),
};

/** Asks until the answer is yes; fails after ten seconds. */
export async function eventually(what: string, met: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await met())) {
    if (Date.now() > deadline) throw new Error(`not within 10 s: ${what}`);
    await systemClock.sleep(5);
  }
}

/** A server on loopback with a directory of its own and a record of its transfers. */
export class TftpFixture {
  readonly root: string;
  readonly transfers: FileTransfer[];
  readonly socket: dgram.Socket;
  readonly server: TftpServer;
  readonly port: number;

  private constructor(socket: dgram.Socket, server: TftpServer, root: string, transfers: FileTransfer[]) {
    this.socket = socket;
    this.server = server;
    this.root = root;
    this.transfers = transfers;
    this.port = socket.address().port;
  }

  static async start(port: number, parts: Partial<TftpServerParts> = {}): Promise<TftpFixture> {
    const root = mkdtempSync(join(tmpdir(), "ingot-tftp-"));
    const transfers: FileTransfer[] = [];
    const socket = dgram.createSocket("udp4");
    const address = parts.address ?? ("127.0.0.1" as Ipv4);
    socket.bind(port, address);
    await once(socket, "listening");
    const server = await startTftpServer({
      socket,
      address,
      mtu: 1500,
      root,
      limits: { maxTransfers: 64, maxTransfersPerClient: 8 },
      onTransfer: (transfer) => transfers.push(transfer),
      log: createLog("error"),
      clock: patientClock,
      ...parts,
    });
    return new TftpFixture(socket, server, root, transfers);
  }

  /** The outcome of the next transfer that ends. */
  async ended(count = 1): Promise<FileTransfer> {
    await eventually(`${count} transfers ended`, () => this.transfers.length >= count);
    return this.transfers[count - 1]!;
  }

  async stop(): Promise<void> {
    await this.server.stop();
    this.socket.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}
