const ESCAPE = 0x7e; // ~
const LINE_ENDS = new Set([0x0d, 0x0a]);

/** What `ipmitool sol activate` is typed to end the session, at the begin of a line. */
export const SOL_END = "~.";

/** What somebody types, in the words of ipmitool: a `~` at the begin of a line is its own unless it is typed twice. */
export class SolEscape {
  /** Whether ipmitool takes the next `~` for its own. */
  isAtLineStart = true;

  encode(typed: Uint8Array): Buffer {
    const encoded: number[] = [];
    for (const byte of typed) {
      if (byte === ESCAPE && this.isAtLineStart) encoded.push(ESCAPE);
      encoded.push(byte);
      this.isAtLineStart = LINE_ENDS.has(byte);
    }
    return Buffer.from(encoded);
  }
}
