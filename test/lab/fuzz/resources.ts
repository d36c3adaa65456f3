import { readdirSync, readFileSync } from "node:fs";

/** What a process holds now. */
export type Resources = { residentMiB: number; descriptors: number };

/** Reads it from /proc; throws when the process is gone. */
export function resourcesOf(pid: number): Resources {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  return { residentMiB: kib / 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
}
