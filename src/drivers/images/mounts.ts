import { readFile, realpath } from "node:fs/promises";

export type Mount = { point: string; device: string; filesystem: string };

/** What is mounted exactly at this directory; undefined when nothing is. */
export async function mountedAt(directory: string): Promise<Mount | undefined> {
  const real = await realpath(directory);
  return (await readMounts()).findLast((mount) => mount.point === real);
}

/** What the directory lives on: the nearest mount point above it, or itself. */
export async function mountAbove(directory: string): Promise<Mount | undefined> {
  const real = await realpath(directory);
  return findMountAbove(await readMounts(), real);
}

/** The deepest of these mounts above the path; of several on one point the last is the visible one. */
export function findMountAbove(mounts: Mount[], path: string): Mount | undefined {
  const above = ({ point }: Mount) => point === path || point === "/" || path.startsWith(`${point}/`);
  return mounts
    .filter(above)
    .reduce<Mount | undefined>(
      (best, mount) => (best === undefined || mount.point.length >= best.point.length ? mount : best),
      undefined,
    );
}

/** The lines of /proc/self/mountinfo (proc(5)). */
export function parseMounts(mountinfo: string): Mount[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const point = before.split(" ")[4];
    const [filesystem, device] = after.split(" ");
    if (point === undefined || filesystem === undefined || device === undefined) return [];
    return [{ point: decodeEscapes(point), device: decodeEscapes(device), filesystem }];
  });
}

async function readMounts(): Promise<Mount[]> {
  return parseMounts(await readFile("/proc/self/mountinfo", "utf8"));
}

function decodeEscapes(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
