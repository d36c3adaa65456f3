/** The serial line of one machine. */
export interface SerialConsole {
  /**
   * Opens the line; whoever has it loses it. `hear` gets all that comes, as it comes, until the line has ended. Fails with
   * UNAUTHENTICATED (user or password), UNAVAILABLE (no answer), TIMEOUT, UNSUPPORTED (the BMC can't), DRIVER_FAILED.
   */
  open(hear: (bytes: Uint8Array) => void, signal: AbortSignal): Promise<SerialLine>;
}

/** An open line. */
export interface SerialLine {
  /** Types. False where it takes nothing: it has ended, or too much waits to be sent already. */
  write(bytes: Uint8Array): boolean;
  /** Resolves once the line has ended, by itself or by `close`, with what is known of the reason. */
  readonly ended: Promise<string>;
  /** Ends it; it is open to others afterwards. May be called twice. */
  close(): Promise<void>;
}
