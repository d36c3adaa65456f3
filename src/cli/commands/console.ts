import { type Command, InvalidArgumentError } from "commander";
import { toApplianceError } from "../../errors.ts";
import type { Console } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { ConsoleKeys } from "../console-keys.ts";
import { followConsole } from "../follow-console.ts";
import { path, type Session } from "../session.ts";
import { printable } from "../text/printable.ts";
import { formatMoment } from "../text/quantity.ts";
import { lastLines, serialLines } from "../text/serial-text.ts";

/** More than any line is long. */
const BYTES_PER_LINE = 512;
const LINES = 40;

type Options = { log?: boolean; lines?: number };

/** `ingot console` */
export function addConsoleCommand(program: Command, open: Open): void {
  program
    .command("console <node>")
    .description("a machine's serial line: its last lines, then what comes; what you type goes there")
    .option("--log", "print what is kept of it, as plain text, and end")
    .option("-n, --lines <count>", `so many of the last lines (${LINES}; with --log all)`, parseCount)
    .addHelpText(
      "after",
      examples("ingot console node-1", "ingot console node-1 --log | less", "ingot console node-1 --log -n 20"),
    )
    .action(async (name: string, options: Options, command: Command) => {
      const session = open(command);
      const console = await session.api.get<Console>(path("nodes", name, "console"));
      // --json is for programs: they get what there is, and an end
      if (options.log || command.optsWithGlobals().json) return showLog(session, console, options.lines);
      await follow(session, console, options.lines ?? LINES);
    });
}

async function showLog(session: Session, console: Console, count?: number): Promise<void> {
  const said = await fetchLast(session, console, console.end - console.start);
  const lines = serialLines(said.toString("utf8"));
  const log = count === undefined ? lines : lines.slice(lines.length - Math.min(count, lines.length));
  if (console.state !== "open") session.note(describe(console));
  session.answer({ ...console, log }, () => log.map((line) => `${line}\n`).join(""));
}

async function follow(session: Session, console: Console, count: number): Promise<void> {
  const { api, terminal } = session;
  const said = await fetchLast(session, console, count * BYTES_PER_LINE);
  const leave = new AbortController();
  const onInterrupt = () => leave.abort();
  process.once("SIGINT", onInterrupt);
  const keys = new ConsoleKeys({
    type: (typed) => api.type(path("nodes", console.node, "console", "input"), typed),
    leave: onInterrupt,
    refuse: (error) => terminal.err(`\r\n[ingot: not typed: ${printable(toApplianceError(error).message)}]\r\n`),
  });
  const giveBack = terminal.takeKeys((bytes) => keys.press(bytes));
  session.note(`${describe(console)}; ${giveBack ? "Ctrl-] leaves" : "Ctrl-C leaves"}`);
  if (giveBack) terminal.err("\r");
  terminal.write(lastLines(said, count));
  try {
    await followConsole(api, outputPath(console), console.end, (bytes) => terminal.write(bytes), leave.signal);
  } finally {
    giveBack?.();
    keys.end();
    process.off("SIGINT", onInterrupt);
    if (giveBack) terminal.err("\n");
  }
}

/** What is kept of what came before `console` was asked for. */
async function fetchLast({ api }: Session, console: Console, count: number): Promise<Buffer> {
  const from = Math.max(console.start, console.end - count);
  const { headers, body } = await api.fetch(`${outputPath(console)}?from=${from}`, {});
  const said = Buffer.concat(await Array.fromAsync(body as AsyncIterable<Buffer>));
  // more may have come since
  return said.subarray(0, Math.max(0, console.end - Number(headers["ingot-console-start"])));
}

function outputPath({ node }: Console): string {
  return path("nodes", node, "console", "output");
}

function describe({ node, state, since, why, remedy }: Console): string {
  if (state === "open") return `console of ${node}, open since ${formatMoment(since)}`;
  const reason = why ? `: ${why}${remedy ? ` -> ${remedy}` : ""}` : "";
  return `console of ${node} is not open yet${reason}`;
}

function parseCount(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError("Give a number of lines.");
  return Number(text);
}
