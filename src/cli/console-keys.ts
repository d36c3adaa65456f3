import { PassThrough } from "node:stream";

/** Ctrl-], as in telnet: no editor, shell or firmware menu needs it. */
const LEAVE = 0x1d;

export type KeyOptions = {
  /** Sends what is typed; settles when nobody takes it any more. */
  type(typed: NodeJS.ReadableStream): Promise<unknown>;
  leave(): void;
  /** Tells why something was not typed. */
  refuse(error: unknown): void;
};

/**
 * What is typed at a console: one request takes it as it comes; where that has ended, the next key begins another. Ctrl-]
 * leaves, and what came before it in the same stroke is typed still.
 */
export class ConsoleKeys {
  readonly #options: KeyOptions;
  #typing: PassThrough | undefined;

  constructor(options: KeyOptions) {
    this.#options = options;
  }

  press(bytes: Buffer): void {
    const at = bytes.indexOf(LEAVE);
    const typed = at < 0 ? bytes : bytes.subarray(0, at);
    if (typed.length > 0) (this.#typing ?? this.#begin()).write(typed);
    if (at >= 0) this.#options.leave();
  }

  end(): void {
    this.#typing?.end();
  }

  #begin(): PassThrough {
    const { type, refuse } = this.#options;
    const typing = new PassThrough();
    this.#typing = typing;
    // a request that has ended takes nothing more: what is pressed then begins another
    typing.on("error", () => {});
    void type(typing)
      .catch(refuse)
      .finally(() => {
        if (this.#typing === typing) this.#typing = undefined;
      });
    return typing;
  }
}
