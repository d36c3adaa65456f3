import { randomBytes } from "node:crypto";
import type { VirtualNode } from "./virtual-node.ts";

/**
 * Runs a command in the root shell on a node's serial console and answers what it printed, without the last newline.
 * Throws when it fails, or does not end within `deadlineMs`.
 */
export async function runOnNode(
  { name, console }: Pick<VirtualNode, "name" | "console">,
  command: string,
  deadlineMs = 30_000,
): Promise<string> {
  const mark = randomBytes(4).toString("hex");
  const since = await console.mark();
  // what is typed is echoed, maybe broken into lines; it differs from what the marks print by the quotes
  console.write(`echo "begin"-${mark}; ${command}; echo "end"-${mark}:$?\n`);
  const [, status] = await console.waitForLine(new RegExp(`end-${mark}:(\\d+)`), deadlineMs, since);
  const said = (await console.lines(since)).join("\n");
  const between = said.slice(said.indexOf(`begin-${mark}\n`) + mark.length + 7, said.indexOf(`end-${mark}:`));
  // a boot is over for the appliance a moment before its OS has said so
  const output = between.replace(/^INGOT-READY\n/m, "");
  if (status !== "0") throw new Error(`${name}: ${command} ended with ${status}: ${output}`);
  return output.replace(/\n$/, "");
}

/** Waits for the root shell on a node's serial console; what is typed before it runs is lost. */
export async function waitForShell(node: Pick<VirtualNode, "name" | "console">, deadlineMs: number): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    try {
      await runOnNode(node, "true", 10_000);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}
