import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { endProcess } from "./lab-state.ts";
import type { LabNetwork } from "./namespace.ts";
import { runProgram } from "./program.ts";

/** TCP packets to a portal whose payload begins with an iSCSI login request (RFC 7143 11.12: opcode 3, immediate or not). */
export const ISCSI_LOGIN = "(tcp dst port 3260 and tcp[(tcp[12] & 0xf0) >> 2] & 0x3f = 3)";

/** What crosses one interface of the lab, in a file. */
export type PacketCapture = {
  /** Ends the capture; everything that was seen before is in the file. May be called twice. */
  end(): Promise<void>;
  /** The packets that a filter (pcap-filter(7)) lets through, a line each. */
  list(filter?: string): Promise<string[]>;
  /** The same with their payloads, everything that is not printable as a dot. */
  text(filter?: string): Promise<string>;
};

/** Begins to write down the packets that a filter lets through; returns once none will be missed. */
export async function startCapture(
  network: LabNetwork,
  { name, interface: on, filter = "" }: { name: string; interface: string; filter?: string },
): Promise<PacketCapture> {
  const file = join(network.stateDirectory, `${name}.pcap`);
  const argv = ["tcpdump", "-i", on, "-n", "-s", "0", "-U", "--immediate-mode", "-Z", "root", "-w", file, filter];
  const child = await network.start(argv, { name, stdio: ["ignore", "ignore", "pipe"] });
  const complaints: string[] = [];
  const lines = createInterface({ input: child.stderr! });
  lines.on("line", (line) => complaints.push(line));
  const listening = new Promise<boolean>((resolve) => {
    lines.on("line", (line) => line.includes("listening on") && resolve(true));
    lines.on("close", () => resolve(false));
  });
  if (!(await listening)) throw new Error(`tcpdump ${filter}: ${complaints.join("; ")}`);
  const exit = once(child, "exit");
  const read = (...args: string[]) => runProgram("tcpdump", ["-r", file, "-n", "-Z", "root", ...args]);
  return {
    async end() {
      await endProcess(network.stateDirectory, name);
      await exit;
    },
    list: async (only = "") => (await read("-e", only)).split("\n").filter(Boolean),
    text: (only = "") => read("-A", only),
  };
}
