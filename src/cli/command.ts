import { type Command, Option } from "commander";
import type { Session } from "./session.ts";

/** How a command gets the session it runs in. */
export type Open = (command: Command) => Session;

/** The examples at the end of a command's help. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`;
}

/** Options of commands that may take a disk from the node that has it, and that wait for their end. `whose`: the node that it is, in words. */
export function addTakingOptions(command: Command, whose: string): Command {
  return command
    .option("--force-off", `cut the power of the node that ${whose}, and take it`)
    .option("--seen-off", "with --force-off: you saw that node off, its BMC may be dead")
    .option("-y, --yes", "do not ask")
    .option("--no-wait", "do not wait for the end");
}

/** An option that takes one of a few words. */
export function choice(flags: string, description: string, words: string[]): Option {
  return new Option(flags, description).choices(words);
}
