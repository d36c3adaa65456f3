/** What waits for somebody who follows a line; more is dropped. */
const MAX_WAITING = 256 * 1024;

/** One who follows a line from now on: gets what comes, and misses what they are too slow for. */
export class Follower {
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #hasEnded = false;
  #wake: () => void = () => {};

  push(bytes: Uint8Array): void {
    if (this.#waitingBytes + bytes.length > MAX_WAITING) {
      this.#dropped += bytes.length;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#wake();
  }

  /** What waits is still to be had. */
  end(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  /** All that came since the last call, once anything has, and how much was missed before it; undefined at the end. */
  async next(): Promise<{ bytes: Buffer; dropped: number } | undefined> {
    while (this.#waiting.length === 0) {
      if (this.#hasEnded) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const next = { bytes: Buffer.concat(this.#waiting.splice(0)), dropped: this.#dropped };
    this.#waitingBytes = 0;
    this.#dropped = 0;
    return next;
  }
}
