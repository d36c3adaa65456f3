/** The end of a command that is neither success nor a refusal of the API: what to say, and how to exit. */
export class CommandEnd extends Error {
  readonly exitCode: number;
  readonly remedy: string | undefined;

  constructor(message: string, exitCode: number, remedy?: string) {
    super(message);
    this.exitCode = exitCode;
    this.remedy = remedy;
  }
}
