import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { CephCluster } from "../lab/ceph.ts";
import { runProgram } from "../lab/program.ts";
import type { Rack } from "../lab/rack.ts";

/** What the pool of a rack keeps, looked at past the appliance: ids of images and disks, and what is unfinished. */
export async function stored(rack: Rack): Promise<string[]> {
  if (!rack.ceph) {
    const list = (folder: string) => readdir(join(rack.stateDirectory, "pool", folder));
    const whole = [...(await list("images")), ...(await list("disks"))].map((name) => name.replace(/\.raw$/, ""));
    return [...whole, ...(await list("tmp"))].sort();
  }
  const { pool } = rack.ceph;
  const listed = JSON.parse(await rack.ceph.rbd("ls", pool, "--format", "json")) as string[];
  const trash = JSON.parse(await rack.ceph.rbd("trash", "ls", pool, "--format", "json")) as { name: string }[];
  const odd = await Promise.all(listed.map((name) => oddities(rack.ceph!, name)));
  return [...listed, ...trash.map(({ name }) => `trash: ${name}`), ...odd.flat()].sort();
}

/** What an interrupted snapshot or clone may have left of an image or disk. */
async function oddities({ pool, rbd }: CephCluster, name: string): Promise<string[]> {
  const snapshots = JSON.parse(await rbd("snap", "ls", `${pool}/${name}`, "--format", "json")) as { name: string }[];
  const marks = snapshots.filter((snapshot) => snapshot.name.startsWith("img-"));
  const isWhole = (await rbd("image-meta", "list", `${pool}/${name}`)).includes("conf_rbd_cache");
  return [...marks.map((mark) => `mark: ${name}@${mark.name}`), ...(isWhole ? [] : [`half made: ${name}`])];
}

/** Gives what a disk holds to `use`, as a file: the pool's own, or a copy of it. */
export async function withDiskFile<T>(rack: Rack, disk: string, use: (file: string) => Promise<T>): Promise<T> {
  if (!rack.ceph) return use(join(rack.stateDirectory, "pool/disks", `${disk}.raw`));
  const copy = join(rack.stateDirectory, `${disk}.raw`);
  try {
    await rack.ceph.rbd("export", "--no-progress", `${rack.ceph.pool}/${disk}`, copy);
    return await use(copy);
  } finally {
    await rm(copy, { force: true });
  }
}

/** The root's file system on a disk, the third partition, needs no repair. */
export async function expectSoundFileSystem(rack: Rack, disk: string): Promise<void> {
  await withDiskFile(rack, disk, async (file) => {
    const start = await runProgram("partx", ["-g", "-r", "-o", "START", "-n", "3", file]);
    await runProgram("e2fsck", ["-fn", `${file}?offset=${Number(start) * 512}`]);
  });
}
