import type { Command } from "commander";
import type { Operation } from "./answers.ts";
import { ApiClient, findPlace, type PlaceOptions } from "./api-client.ts";
import { CommandEnd } from "./command-end.ts";
import { type Download, type Downloaded, download } from "./download.ts";
import { INTERRUPTED } from "./exit-codes.ts";
import { follow, formatDone } from "./follow.ts";
import type { Terminal } from "./terminal.ts";
import { printable } from "./text/printable.ts";
import { type Column, formatTable } from "./text/table.ts";

/** Options that every command knows. */
export type CommonOptions = PlaceOptions & { json?: boolean; project?: string; wait?: boolean; yes?: boolean };

/** One run of one command: whom it asks and how it answers. */
export class Session {
  #api: ApiClient | undefined;
  readonly terminal: Terminal;
  /** Whose images and disks are meant. */
  readonly project: string;
  readonly #options: CommonOptions;

  constructor(command: Command, terminal: Terminal) {
    this.#options = command.optsWithGlobals<CommonOptions>();
    this.terminal = terminal;
    this.project = this.#options.project ?? (process.env.INGOT_PROJECT || "default");
  }

  /** The API that the options name. INVALID; UNAUTHENTICATED without a token where it takes one. */
  get api(): ApiClient {
    this.#api ??= new ApiClient(findPlace(this.#options, process.env));
    return this.#api;
  }

  /** A word to a person beside the answer. */
  note(text: string): void {
    if (!this.#options.json) this.terminal.err(printable(`${text}\n`));
  }

  /** The path of a thing in the project. */
  projectPath(...parts: string[]): string {
    return path("projects", this.project, ...parts);
  }

  /** The answer as the API gave it with --json, as text otherwise. */
  answer(value: unknown, text: () => string): void {
    this.terminal.out(printable(this.#options.json ? `${JSON.stringify(value, null, 2)}\n` : text()));
  }

  /** The same for a list; `none` says in words that it is empty. */
  answerTable<Row>(rows: Row[], columns: Column<Row>[], none: string): void {
    this.answer(rows, () => (rows.length === 0 ? `${none}\n` : formatTable(columns, rows, this.terminal.columns)));
  }

  /** Waits for an operation that was begun, unless --no-wait says to leave it. */
  async finish(begun: Operation): Promise<void> {
    if (this.#options.wait === false) {
      return this.answer(begun, () => `${begun.summary}: began; look at it with ingot operation show ${begun.id}\n`);
    }
    const quiet = this.#options.json === true;
    const ended = await follow(this.api, begun, this.terminal, { quiet });
    this.answer(ended, () => formatDone(ended));
  }

  /** Whether a person is there to be asked. */
  get asks(): boolean {
    return this.#options.yes !== true && this.terminal.canAsk;
  }

  /** Fetches content of the API's into a file, with progress. */
  download(what: Pick<Download, "path" | "file" | "ranges">): Promise<Downloaded> {
    return download({ ...what, api: this.api, terminal: this.terminal, quiet: this.#options.json === true });
  }

  /** Asks a person who is there whether to go on; --yes, and a script, says yes. */
  async confirm(question: string): Promise<void> {
    if (!this.asks) return;
    const { confirm } = await import("@clack/prompts");
    if ((await confirm({ message: question, initialValue: false })) !== true) {
      throw new CommandEnd("nothing was done", INTERRUPTED);
    }
  }
}

/** The path of an API thing, its names made safe. */
export function path(...parts: string[]): string {
  return `/v1/${parts.map(encodeURIComponent).join("/")}`;
}
