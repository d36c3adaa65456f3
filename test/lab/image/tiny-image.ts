import { join } from "node:path";
import { runProgram } from "../program.ts";
import { writeBootDisk } from "./boot-disk.ts";
import { cachedImage, LAB_CACHE } from "./image-cache.ts";
import { buildInitramfs } from "./initramfs.ts";
import { fetchKernel, type KernelFlavour } from "./kernel.ts";
import { buildRootTree } from "./root-tree.ts";

const ROOT_MIB = 32;
const ESP_MIB = 24;
/** What programs and loaders are taken from. */
const PACKAGES = [
  "busybox-static",
  "open-iscsi",
  "gdisk",
  "util-linux",
  "e2fsprogs",
  "grub-pc-bin",
  "grub-efi-amd64-bin",
];
const APPEND = "console=ttyS0,115200 panic=5 quiet net.ifnames=0";

export type TinyImageOptions = {
  /** Printed in the marker line, to tell images apart. Letters, digits, dots and dashes. */
  tag?: string;
  /** Whether the OS tells the boot server that it is up. */
  phoneHome?: boolean;
  kernel?: KernelFlavour;
  /** Programs of this system that it also has, with the libraries that they are linked with. */
  programs?: string[];
  /** Size of its root. */
  rootMib?: number;
  cacheDirectory?: string;
};

/**
 * The path of a raw image (59 MiB, about 35 of them used) with a true Linux in it, for BIOS and UEFI. Built in
 * seconds, then cached by its ingredients: treat it as read-only. What it does after its boot:
 * - over iSCSI (iBFT): iscsid adopts the session, a lost connection is taken up again for 900 s; prints
 *   `INGOT-UP root= session= target= fw= count= tag= mac= seconds=` on ttyS0, posts to
 *   `http://<portal address>/boot/<mac>/ready` and prints INGOT-READY once that was heard;
 * - from a local disk: prints `LOCAL-UP root= fw= count= tag= seconds=`;
 * - on a disk longer than the image, its root fills it first;
 * - a root shell on ttyS0; `io-writer` writes and reports errors; `fio-rounds` (with `/usr/bin/fio` among its programs)
 *   writes, reads and compares; `poweroff`, `reboot` and the ACPI power button
 *   leave a clean file system and print `INGOT-DOWN clean`; what can't go on prints `INGOT-FAILED <reason>`.
 * `count` is the number of boots of this very disk.
 */
export async function buildTinyImage(options: TinyImageOptions = {}): Promise<string> {
  const { tag = "tiny", phoneHome = true, kernel: flavour = "cloud", cacheDirectory = LAB_CACHE } = options;
  if (!/^[\w.-]+$/.test(tag)) throw new Error(`tag "${tag}": use letters, digits, dots and dashes`);
  const { programs = [], rootMib = ROOT_MIB } = options;
  const kernel = await fetchKernel(flavour, cacheDirectory);
  const packages = await runProgram("dpkg-query", ["-W", ...PACKAGES]);
  const ingredients = [tag, String(phoneHome), kernel.package, APPEND, packages, ...programs, String(rootMib)];
  return await cachedImage(cacheDirectory, "tiny", ingredients, async (work) => {
    const rootTree = join(work, "root");
    const initramfs = join(work, "initramfs");
    await buildRootTree(rootTree, { tag, phoneHome, programs });
    await buildInitramfs(kernel, initramfs);
    const disk = { kernel: kernel.image, initramfs, append: APPEND, rootTree, rootLabel: "INGOT-TINY" };
    await writeBootDisk({ ...disk, output: join(work, "image.raw"), rootMib, espMib: ESP_MIB });
  });
}
