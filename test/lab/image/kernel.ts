import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { runProgram } from "../program.ts";

/** Debian's kernel flavours: `cloud` boots fastest but knows virtio cards only; `amd64` knows real hardware. */
export type KernelFlavour = "cloud" | "amd64";

const META_PACKAGES: Record<KernelFlavour, string> = {
  cloud: "linux-image-cloud-amd64",
  amd64: "linux-image-amd64",
};

/** An unpacked kernel package. */
export type Kernel = {
  /** Name and version of the package it came from. */
  package: string;
  version: string;
  image: string;
  /** Folder that has `lib/modules/<version>` in it, indexed by depmod. */
  root: string;
};

/** Debian's kernel of that flavour, from `cacheDirectory` or else downloaded by apt and unpacked there. Changes nothing on the system. */
export async function fetchKernel(flavour: KernelFlavour, cacheDirectory: string): Promise<Kernel> {
  const directory = join(cacheDirectory, `kernel-${flavour}`);
  const cached = await readKernel(directory).catch(() => undefined);
  if (cached) return cached;
  await mkdir(cacheDirectory, { recursive: true });
  const work = await mkdtemp(`${directory}.`);
  try {
    await download(META_PACKAGES[flavour], work);
    const archive = (await readdir(work)).find((file) => file.endsWith(".deb"));
    if (!archive) throw new Error("apt-get download left no package");
    const root = join(work, "root");
    await runProgram("dpkg-deb", ["--extract", join(work, archive), root]);
    const [version = ""] = await readdir(join(root, "lib/modules"));
    await runProgram("depmod", ["-b", root, version]);
    await rm(directory, { recursive: true, force: true });
    await rename(work, directory);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return await readKernel(directory);
}

async function readKernel(directory: string): Promise<Kernel> {
  const archive = (await readdir(directory)).find((file) => file.endsWith(".deb"));
  const root = join(directory, "root");
  const [version] = await readdir(join(root, "lib/modules"));
  if (!archive || !version) throw new Error(`${directory} holds no kernel`);
  return { package: basename(archive, ".deb"), version, image: join(root, "boot", `vmlinuz-${version}`), root };
}

/** Downloads the kernel that a meta package depends on. apt's lists may be missing or stale: then they are fetched once. */
async function download(metaPackage: string, directory: string): Promise<void> {
  const attempt = async () => {
    const depends = await runProgram("apt-cache", ["depends", metaPackage]);
    const name = /Depends: (linux-image-[0-9]\S+)/.exec(depends)?.[1];
    if (!name) throw new Error(`apt knows no kernel for ${metaPackage}`);
    await runProgram("apt-get", ["-qq", "download", name], { cwd: directory });
  };
  try {
    await attempt();
  } catch {
    await runProgram("apt-get", ["-qq", "update"]);
    await attempt();
  }
}
