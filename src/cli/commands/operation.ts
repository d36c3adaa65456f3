import type { Command } from "commander";
import type { Operation } from "../answers.ts";
import { examples, type Open } from "../command.ts";
import { path } from "../session.ts";
import { formatOperation } from "../text/operation.ts";
import { formatAgo, formatDuration, secondsBetween } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";

/** `ingot operation …` */
export function addOperationCommands(program: Command, open: Open): void {
  const operation = program.command("operation").description("long changes, running and past");

  operation
    .command("list")
    .description("those that are kept, newest first")
    .addHelpText("after", examples("ingot operation list"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      session.answerTable(await session.api.get<Operation[]>("/v1/operations"), OPERATION_COLUMNS, "no operations yet");
    });

  operation
    .command("show <id>")
    .description("one operation, step by step")
    .addHelpText("after", examples("ingot operation show op-7k2m9q4x0b3d"))
    .action(async (id: string, _: object, command: Command) => {
      const session = open(command);
      const found = await session.api.get<Operation>(path("operations", id));
      session.answer(found, () => formatOperation(found, session.terminal.columns));
    });

  operation
    .command("cancel <id>")
    .description("stop an operation and undo it")
    .addHelpText("after", examples("ingot operation cancel op-7k2m9q4x0b3d"))
    .action(async (id: string, _: object, command: Command) => {
      const session = open(command);
      const asked = await session.api.post<Operation>(path("operations", id, "cancel"));
      session.answer(asked, () => `${asked.summary}: ${OUTLOOK[asked.state]}\n`);
    });

  operation
    .command("retry <id>")
    .description("go on with a stuck operation where it stuck")
    .option("--seen-off", "you saw its nodes off: do not ask their BMCs, which may be dead")
    .option("--no-wait", "do not wait for the end")
    .addHelpText("after", examples("ingot operation retry op-7k2m9q4x0b3d"))
    .action(async (id: string, { seenOff }: { seenOff?: boolean }, command: Command) => {
      const session = open(command);
      const query = seenOff ? "?seenOff=true" : "";
      await session.finish(await session.api.post<Operation>(`${path("operations", id, "retry")}${query}`));
    });
}

/** What a cancelled operation's state says. */
const OUTLOOK: Record<Operation["state"], string> = {
  running: "stops, and will be undone",
  undoing: "is being undone",
  undone: "is undone",
  done: "was done already",
  stuck: "is stuck",
};

/** How operations are listed. */
export const OPERATION_COLUMNS: Column<Operation>[] = [
  { title: "OPERATION", show: ({ id }) => id },
  { title: "STATE", show: ({ state }) => state },
  { title: "WHAT", show: ({ summary }) => summary, cut: "end" },
  { title: "BEGAN", show: ({ createdAt }) => formatAgo(createdAt) },
  {
    title: "TOOK",
    align: "right",
    show: ({ createdAt, endedAt }) => formatDuration(secondsBetween(createdAt, endedAt)),
  },
];
