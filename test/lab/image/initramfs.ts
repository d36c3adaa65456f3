import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { runProgram } from "../program.ts";
import type { Kernel } from "./kernel.ts";
import { copyProgram } from "./libraries.ts";

const files = join(import.meta.dirname, "files");

/** Modules that every kernel flavour has, built in or not. */
const MODULES = [
  "virtio_pci",
  "virtio_blk",
  "virtio_net",
  "iscsi_tcp",
  "iscsi_ibft",
  "sd_mod",
  "crc32c_generic",
  "ext4",
  "button",
  "evdev",
];
/** Drivers of real cards and disks, which the cloud flavour leaves out. */
const HARDWARE_MODULES = ["e1000", "e1000e", "ahci"];

/** Writes the tiny image's initramfs: busybox, iscsistart, the modules it takes to reach the root. */
export async function buildInitramfs(kernel: Kernel, output: string): Promise<void> {
  const tree = await mkdtemp(join(tmpdir(), "ingot-initramfs-"));
  try {
    for (const directory of [
      "bin",
      "sbin",
      "dev",
      "proc",
      "sys",
      "run",
      "tmp",
      "newroot",
      "etc/iscsi",
      "lib/modules",
    ]) {
      await mkdir(join(tree, directory), { recursive: true });
    }
    await copyFile("/bin/busybox", join(tree, "bin/busybox"));
    await copyProgram("/sbin/iscsistart", tree);
    const order = await moduleFiles(kernel);
    for (const file of order) await copyFile(file, join(tree, "lib/modules", basename(file)));
    await writeFile(join(tree, "lib/modules/order"), order.map((file) => `${basename(file)}\n`).join(""));
    await copyFile(join(files, "initramfs-init"), join(tree, "init"));
    await chmod(join(tree, "init"), 0o755);
    const pack = 'find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | zstd -q -f -o "$1"';
    await runProgram("sh", ["-ec", pack, "sh", output], { cwd: tree });
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

/** The module files in the order in which they must be loaded, dependencies first. */
async function moduleFiles(kernel: Kernel): Promise<string[]> {
  const order = new Set<string>();
  const modprobe = (name: string) =>
    runProgram("modprobe", ["-d", kernel.root, "-S", kernel.version, "--show-depends", name]);
  for (const name of [...MODULES, ...HARDWARE_MODULES]) {
    const depends = HARDWARE_MODULES.includes(name) ? await modprobe(name).catch(() => "") : await modprobe(name);
    for (const match of depends.matchAll(/^insmod (\S+)/gm)) order.add(match[1]!);
  }
  return [...order];
}
