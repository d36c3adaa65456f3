import { closeSync, write } from "node:fs";
import { duplicateDescriptor } from "../../net/duplicate-descriptor.ts";
import { driverFailed } from "../failure.ts";

/** What waits to be taken; a serial line takes 11 kB a second. */
const MAX_WAITING = 16 * 1024;
const RETRY_MS = 20;

/**
 * Typing into a terminal, through a descriptor of its own: node-pty's may stand for another file once its program has
 * ended, and its queue would go on writing there.
 */
export class PtyInput {
  #descriptor: number | undefined;
  #waiting = Buffer.alloc(0);
  #isWriting = false;

  /** `terminal`: node-pty's descriptor, open at this moment. DRIVER_FAILED where there is no second one to be had. */
  constructor(terminal: number) {
    this.#descriptor = duplicateDescriptor(terminal);
    if (this.#descriptor === undefined) {
      throw driverFailed("ipmi-sol", "sol activate", "no descriptor for a terminal", {
        details: { remedy: "raise LimitNOFILE of ingotd's unit" },
      });
    }
  }

  /** Types. False where nothing of it was taken: too much waits already, or the terminal is closed. */
  write(bytes: Uint8Array): boolean {
    if (this.#descriptor === undefined || this.#waiting.length + bytes.length > MAX_WAITING) return false;
    this.#waiting = Buffer.concat([this.#waiting, bytes]);
    if (!this.#isWriting) this.#writeSome();
    return true;
  }

  /** What waits is not written any more. May be called twice. */
  close(): void {
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    this.#waiting = Buffer.alloc(0);
    // a write that is under way closes it when it returns
    if (descriptor !== undefined && !this.#isWriting) closeSync(descriptor);
  }

  #writeSome(): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined || this.#waiting.length === 0) return;
    this.#isWriting = true;
    write(descriptor, this.#waiting, (error, written) => {
      this.#isWriting = false;
      if (this.#descriptor === undefined) return closeSync(descriptor);
      if (!error) this.#waiting = this.#waiting.subarray(written);
      else if (error.code !== "EAGAIN") return this.close();
      // full: its program takes no more for now
      if (error) setTimeout(() => this.#writeSome(), RETRY_MS);
      else this.#writeSome();
    });
  }
}
