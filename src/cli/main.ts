import { enableCompileCache } from "node:module";
import { CommanderError } from "commander";
import { toApplianceError } from "../errors.ts";
import { CommandEnd } from "./command-end.ts";
import { exitCodeOf } from "./exit-codes.ts";
import { createProgram } from "./program.ts";
import { systemTerminal, type Terminal } from "./terminal.ts";
import { printable } from "./text/printable.ts";

enableCompileCache();
// a reader that has seen enough (head, say) is no error
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const terminal = systemTerminal();
try {
  await createProgram(terminal).parseAsync();
} catch (error) {
  process.exitCode = report(error, terminal);
}

/** Says what went wrong and what to do about it; answers the exit code. */
function report(error: unknown, { err }: Terminal): number {
  if (error instanceof CommanderError) {
    // commander has written its own text; anything but help is wrong usage
    return error.exitCode === 0 ? 0 : exitCodeOf("INVALID");
  }
  const end = error instanceof CommandEnd ? error : undefined;
  const known = toApplianceError(error);
  const remedy = end ? end.remedy : known.details.remedy;
  err(printable(`ingot: ${known.message}\n`));
  if (remedy) err(printable(`remedy: ${remedy}\n`));
  return end ? end.exitCode : exitCodeOf(known.code);
}
