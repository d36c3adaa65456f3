import type { SerialConsole, SerialLine } from "../../src/drivers/console/serial-console.ts";
import { ApplianceError } from "../../src/errors.ts";

/** A serial line that says what a test wants it to. */
export class MemorySerialConsole implements SerialConsole {
  /** Why it can't be opened. */
  refusal: ApplianceError | undefined;
  /** What was typed, as text. */
  typed = "";
  /** How often it was opened. */
  opened = 0;
  /** How often that was while somebody had it. */
  taken = 0;
  /** What a line that is closed waits for. */
  closing: Promise<void> = Promise.resolve();
  #hear: ((bytes: Uint8Array) => void) | undefined;
  #end: (why: string) => void = () => {};

  async open(hear: (bytes: Uint8Array) => void, signal: AbortSignal): Promise<SerialLine> {
    if (signal.aborted) throw new ApplianceError("CANCELLED", "sol activate: cancelled");
    if (this.refusal) throw this.refusal;
    if (this.isOpen) this.taken += 1;
    this.#end("taken by another");
    this.opened += 1;
    const { promise: ended, resolve } = Promise.withResolvers<string>();
    const end = (why: string) => {
      if (this.#hear === hear) this.#hear = undefined;
      resolve(why);
    };
    this.#hear = hear;
    this.#end = end;
    return {
      write: (bytes) => {
        if (this.#hear === hear) this.typed += Buffer.from(bytes).toString();
        return this.#hear === hear;
      },
      ended,
      close: async () => {
        await this.closing;
        end("closed");
      },
    };
  }

  get isOpen(): boolean {
    return this.#hear !== undefined;
  }

  /** The machine says something, to whoever listens. */
  say(text: string): void {
    this.#hear?.(Buffer.from(text));
  }

  /** The line breaks. */
  break(why: string): void {
    this.#end(why);
  }
}
