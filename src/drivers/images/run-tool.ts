import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { ApplianceError } from "../../errors.ts";
import { CHILD_ENV } from "./child-env.ts";

const run = promisify(execFile);

/** Runs a program of the system to its end. POOL_FULL when it found no room, else DRIVER_FAILED with what it said. */
export async function runTool(action: string, program: string, args: string[], signal?: AbortSignal): Promise<void> {
  try {
    await run(program, args, { env: CHILD_ENV, ...(signal ? { signal } : {}) });
  } catch (cause) {
    const said = ((cause as { stderr?: string }).stderr || String(cause)).trim();
    const full = /No space left/.test(said);
    throw new ApplianceError(full ? "POOL_FULL" : "DRIVER_FAILED", `${action}: ${program}: ${said}`, {
      details: { driver: "file", action, program },
      cause,
    });
  }
}
