import { type Command, Option } from "commander";
import type { Session } from "./session.ts";

/** How a command gets the session it runs in. */
export type Open = (command: Command) => Session;

/** The examples at the end of a command's help. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`;
}

/** An option that takes one of a few words. */
export function choice(flags: string, description: string, words: string[]): Option {
  return new Option(flags, description).choices(words);
}
