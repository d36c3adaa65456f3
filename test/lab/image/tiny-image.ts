import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { runProgram } from "../program.ts";
import { writeBootDisk } from "./boot-disk.ts";
import { buildInitramfs } from "./initramfs.ts";
import { fetchKernel, type KernelFlavour } from "./kernel.ts";
import { buildRootTree } from "./root-tree.ts";

/** Downloads and built images of the lab; safe to delete. */
export const LAB_CACHE = resolve(import.meta.dirname, "../../../.cache/lab");

const ROOT_MIB = 32;
const ESP_MIB = 24;
const APPEND = "console=ttyS0,115200 panic=5 quiet net.ifnames=0";

export type TinyImageOptions = {
  /** Printed in the marker line, to tell images apart. Letters, digits, dots and dashes. */
  tag?: string;
  /** Whether the OS tells the boot server that it is up. */
  phoneHome?: boolean;
  kernel?: KernelFlavour;
  cacheDirectory?: string;
};

/**
 * The path of a raw image (59 MiB, about 35 of them used) with a true Linux in it, for BIOS and UEFI. Built in
 * seconds, then cached by its ingredients: treat it as read-only. What it does after its boot:
 * - over iSCSI (iBFT): iscsid adopts the session, a lost connection is taken up again for 900 s; prints
 *   `INGOT-UP root= session= target= fw= count= tag= mac= seconds=` on ttyS0, posts to
 *   `http://<portal address>/boot/<mac>/ready` and prints INGOT-READY once that was heard;
 * - from a local disk: prints `LOCAL-UP root= fw= count= tag= seconds=`;
 * - a root shell on ttyS0; `io-writer` writes and reports errors; `poweroff`, `reboot` and the ACPI power button
 *   leave a clean file system and print `INGOT-DOWN clean`; what can't go on prints `INGOT-FAILED <reason>`.
 * `count` is the number of boots of this very disk.
 */
export async function buildTinyImage(options: TinyImageOptions = {}): Promise<string> {
  const { tag = "tiny", phoneHome = true, kernel: flavour = "cloud", cacheDirectory = LAB_CACHE } = options;
  if (!/^[\w.-]+$/.test(tag)) throw new Error(`tag "${tag}": use letters, digits, dots and dashes`);
  const kernel = await fetchKernel(flavour, cacheDirectory);
  const key = await ingredientsHash([tag, String(phoneHome), kernel.package, APPEND]);
  const image = join(cacheDirectory, `tiny-${key}.raw`);
  if (await exists(image)) return image;
  await mkdir(cacheDirectory, { recursive: true });
  const work = await mkdtemp(join(cacheDirectory, "building-"));
  try {
    const rootTree = join(work, "root");
    const initramfs = join(work, "initramfs");
    const output = join(work, "image.raw");
    await buildRootTree(rootTree, { tag, phoneHome });
    await buildInitramfs(kernel, initramfs);
    await writeBootDisk({
      output,
      kernel: kernel.image,
      initramfs,
      append: APPEND,
      rootTree,
      rootLabel: "INGOT-TINY",
      rootMib: ROOT_MIB,
      espMib: ESP_MIB,
    });
    await rename(output, image);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return image;
}

/** A hash of everything that goes into the image: this folder's files and the packages programs are taken from. */
async function ingredientsHash(parameters: string[]): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(parameters));
  for (const directory of [import.meta.dirname, join(import.meta.dirname, "files")]) {
    const entries = await readdir(directory, { withFileTypes: true });
    for (const entry of entries.filter((one) => one.isFile()).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      hash.update(entry.name).update(await readFile(join(directory, entry.name)));
    }
  }
  const packages = ["busybox-static", "open-iscsi", "grub-pc-bin", "grub-efi-amd64-bin"];
  hash.update(await runProgram("dpkg-query", ["-W", ...packages]));
  return hash.digest("hex").slice(0, 16);
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
