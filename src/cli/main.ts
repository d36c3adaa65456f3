/** ingot: the command line. It talks to the admin API and to nothing else. */
import { enableCompileCache } from "node:module";

// before anything else is loaded: it is compiled once, not at every command
enableCompileCache();
// a reader that has seen enough (head, say) is no error
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const { runCommand } = await import("./run-command.ts");
process.exitCode = await runCommand(process.argv.slice(2));
