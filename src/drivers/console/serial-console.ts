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
  /** Types. What the machine does not take is lost, as on a wire; so is what is typed after the end. */
  write(bytes: Uint8Array): void;
  /** Resolves once the line has ended, by itself or by `close`, with what is known of the reason. */
  readonly ended: Promise<string>;
  /** Ends it; it is open to others afterwards. May be called twice. */
  close(): Promise<void>;
}
