import { CommanderError } from "commander";
import { toApplianceError } from "../errors.ts";
import { CommandEnd } from "./command-end.ts";
import { exitCodeOf } from "./exit-codes.ts";
import { createProgram } from "./program.ts";
import { systemTerminal } from "./terminal.ts";
import { printable } from "./text/printable.ts";

/** Runs one command line; answers the exit code. What went wrong, and what to do about it, goes to standard error. */
export async function runCommand(args: string[]): Promise<number> {
  const terminal = systemTerminal();
  try {
    await createProgram(terminal).parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    // commander has written its own text; anything but help is wrong usage
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodeOf("INVALID");
    const end = error instanceof CommandEnd ? error : undefined;
    const { message, code, details } = toApplianceError(error);
    const remedy = end ? end.remedy : details.remedy;
    terminal.err(printable(`ingot: ${message}\n`));
    for (const { kind, name, project } of details.usedBy ?? []) {
      terminal.err(printable(`  ${kind} ${project === undefined ? name : `${project}/${name}`}\n`));
    }
    if (remedy) terminal.err(printable(`remedy: ${remedy}\n`));
    return end?.exitCode ?? exitCodeOf(code);
  }
}
