const WINDOW_MS = 1_000;

/** Lets so many bytes a second through: serial lines bring a twentieth of that, a BMC gone mad any number. */
export class FlowLimit {
  readonly #bytesPerSecond: number;
  #since = Number.NEGATIVE_INFINITY;
  #bytes = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Whether these may pass, at a moment in milliseconds. After some that may not, none may until the second is over. */
  admits(length: number, now: number): boolean {
    if (now - this.#since >= WINDOW_MS) {
      this.#since = now;
      this.#bytes = 0;
    }
    this.#bytes += length;
    return this.#bytes <= this.#bytesPerSecond;
  }
}
