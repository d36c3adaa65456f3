/** Where the CLI writes, and what it may assume about who reads. */
export type Terminal = {
  /** Answers. */
  out(text: string): void;
  /** What a machine says, as it says it. */
  write(bytes: Uint8Array): void;
  /** Everything else: progress, notes, errors. */
  err(text: string): void;
  /**
   * Hands on each key that is pressed, as its bytes, and nothing that keys do otherwise (Ctrl-C is a key), until the answered
   * function is called. Undefined where nobody types at a terminal.
   */
  takeKeys(onKeys: (bytes: Buffer) => void): (() => void) | undefined;
  /** Whether a person watches `err`: progress is then drawn in place. */
  isWatched: boolean;
  /** Whether that person can also be asked. */
  canAsk: boolean;
  columns: number;
};

const DEFAULT_COLUMNS = 80;

/** The terminal of this process. COLUMNS tells the width where there is none. */
export function systemTerminal(): Terminal {
  const { stdin, stdout, stderr, env } = process;
  return {
    out: (text) => void stdout.write(text),
    write: (bytes) => void stdout.write(bytes),
    err: (text) => void stderr.write(text),
    takeKeys: (onKeys) => {
      if (!stdin.isTTY || !stdout.isTTY) return undefined;
      stdin.setRawMode(true).on("data", onKeys).resume();
      return () => void stdin.setRawMode(false).off("data", onKeys).pause();
    },
    isWatched: stderr.isTTY === true,
    canAsk: stdin.isTTY === true && stdout.isTTY === true,
    columns: stdout.columns || Number(env.COLUMNS) || DEFAULT_COLUMNS,
  };
}
