import { spawn } from "node:child_process";

export type ProgramOptions = {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Written to standard input. */
  input?: string | Buffer;
  signal?: AbortSignal;
};

/** Runs a program to its end and answers its standard output. Throws with its standard error when it fails. */
export async function runProgram(program: string, args: string[], options: ProgramOptions = {}): Promise<string> {
  const { input, ...rest } = options;
  const child = spawn(program, args, { ...rest, stdio: ["pipe", "pipe", "pipe"] });
  const output: Buffer[] = [];
  const complaints: Buffer[] = [];
  child.stdout.on("data", (chunk) => output.push(chunk));
  child.stderr.on("data", (chunk) => complaints.push(chunk));
  // A program that reads no input may be gone before it is written: its exit status tells.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const status = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, killer) => resolve(code ?? killer));
  });
  if (status === 0) return Buffer.concat(output).toString();
  const why = Buffer.concat(complaints).toString().trim() || Buffer.concat(output).toString().trim();
  throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${why}`);
}
