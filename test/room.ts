import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { claim } from "./lab/lab-state.ts";

const PRIVATE = ["--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"];
const UNSHARE = ["unshare", ...PRIVATE, "--propagation", "private", "sh", "-c"];

/** What labs share on a machine: where they keep state, name their networks, and where tgtd listens. */
const FURNISH = `set -e
ip link set lo up
mount --bind "$0" /var/tmp
mount -t tmpfs tmpfs /run/tgtd
mount -t tmpfs tmpfs /run/netns
mount --make-shared /run/netns
exec "$@"`;

/** Whether this machine lets us make rooms: why not, otherwise. */
export function whyNoRooms(): string | undefined {
  const { status, stderr } = spawnSync(UNSHARE[0]!, [...UNSHARE.slice(1), "true"], { encoding: "utf8" });
  return status === 0 ? undefined : stderr?.trim() || `unshare ended with ${status}`;
}

/**
 * Starts a program apart from all others on the machine: processes, network (loopback alone), mounts, /var/tmp and names
 * of networks are its own. What it leaves running or mounted ends with it, and with whoever started it.
 */
export async function startInRoom(
  argv: string[],
  options: { cwd: string; env: NodeJS.ProcessEnv },
): Promise<ChildProcess> {
  for (const directory of ["/run/tgtd", "/run/netns"]) mkdirSync(directory, { recursive: true });
  const files = mkdtempSync(join("/var/tmp", "ingot-room-"));
  // so that it goes at the next run where this one is killed
  await claim(files);
  // as /var/tmp is for everybody
  chmodSync(files, 0o1777);
  const command = ["--pdeathsig", "KILL", ...UNSHARE, FURNISH, files, ...argv];
  const child = spawn("setpriv", command, {
    ...options,
    env: { ...options.env, TMPDIR: "/var/tmp" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.on("close", () => rmSync(files, { recursive: true, force: true }));
  return child;
}
