import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "../program.ts";

const SECTOR = 512;
const MIB = 1024 * 1024;
/** Sectors of the BIOS boot partition, 1 MiB from 1 MiB on; the EFI system partition follows. */
const BIOS_BOOT_START = 2048;
const ESP_START = 4096;
const GRUB = "/usr/lib/grub";
const GRUB_MODULES = ["part_gpt", "fat", "normal", "linux", "configfile", "serial", "terminal"];

export type BootDisk = {
  output: string;
  kernel: string;
  initramfs: string;
  /** Kernel command line. */
  append: string;
  /** Folder that becomes the root file system. */
  rootTree: string;
  rootLabel: string;
  rootMib: number;
  espMib: number;
};

/**
 * Writes a raw disk that BIOS and UEFI firmware can boot: GPT, GRUB for both, kernel and initramfs in the EFI
 * system partition, an ext4 root in partition 3. Needs no mount, no loop device and no privileges.
 */
export async function writeBootDisk(disk: BootDisk): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "ingot-boot-disk-"));
  try {
    const rootStart = ESP_START + (disk.espMib * MIB) / SECTOR;
    const file = await open(disk.output, "w");
    await file.truncate(rootStart * SECTOR + (disk.rootMib + 1) * MIB);
    await file.close();
    await runProgram("sgdisk", [
      ...["-n", `1:${BIOS_BOOT_START}:${ESP_START - 1}`, "-t", "1:ef02"],
      ...["-n", `2:${ESP_START}:+${disk.espMib}M`, "-t", "2:ef00"],
      ...["-n", `3:${rootStart}:+${disk.rootMib}M`, "-t", "3:8300"],
      disk.output,
    ]);
    await writeSystemPartition(disk, work);
    await runProgram("mke2fs", [
      ...["-q", "-F", "-t", "ext4", "-L", disk.rootLabel, "-m", "0", "-d", disk.rootTree],
      ...["-E", `offset=${rootStart * SECTOR},root_owner=0:0,lazy_itable_init=1`],
      ...[disk.output, `${disk.rootMib}M`],
    ]);
    await writeBiosLoader(disk.output, work);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function writeSystemPartition(disk: BootDisk, work: string): Promise<void> {
  const config = await readFile(join(import.meta.dirname, "files/grub.cfg"), "utf8");
  await writeFile(join(work, "grub.cfg"), config.replace("@append@", disk.append));
  const efiLoader = join(work, "BOOTX64.EFI");
  await runProgram("grub-mkimage", ["-O", "x86_64-efi", "-p", "/grub", "-o", efiLoader, ...GRUB_MODULES]);
  const blocks = String((disk.espMib * MIB) / 1024);
  await runProgram("mkfs.vfat", ["--offset", String(ESP_START), "-F", "16", "-n", "ESP", disk.output, blocks]);
  const partition = `${disk.output}@@${ESP_START * SECTOR}`;
  await runProgram("mmd", ["-i", partition, "::/EFI", "::/EFI/BOOT", "::/grub"]);
  const copies = [
    [efiLoader, "::/EFI/BOOT/BOOTX64.EFI"],
    [join(work, "grub.cfg"), "::/grub/grub.cfg"],
    [disk.kernel, "::/vmlinuz"],
    [disk.initramfs, "::/initrd"],
  ] as const;
  for (const [from, to] of copies) await runProgram("mcopy", ["-i", partition, from, to]);
}

/** GRUB's two stages for BIOS, linked by hand: grub-install would want the disk as a block device. */
async function writeBiosLoader(output: string, work: string): Promise<void> {
  const corePath = join(work, "core.img");
  await runProgram("grub-mkimage", [
    "-O",
    "i386-pc",
    "-p",
    "(hd0,gpt2)/grub",
    "-o",
    corePath,
    "biosdisk",
    ...GRUB_MODULES,
  ]);
  const core = await readFile(corePath);
  const boot = await readFile(`${GRUB}/i386-pc/boot.img`);
  if (core.length > (ESP_START - BIOS_BOOT_START) * SECTOR) throw new Error("GRUB does not fit its partition");
  // boot.img holds the sector of core.img at 0x5c; its drive check at 0x66 is for floppies and must be no-ops.
  boot.writeBigUInt64LE(BigInt(BIOS_BOOT_START), 0x5c);
  boot.fill(0x90, 0x66, 0x68);
  // core.img's first sector holds the sector of the rest at 0x1f4.
  core.writeBigUInt64LE(BigInt(BIOS_BOOT_START + 1), 0x1f4);
  const file = await open(output, "r+");
  try {
    // The MBR's last 72 bytes are the protective partition table.
    await file.write(boot, 0, 440, 0);
    await file.write(core, 0, core.length, BIOS_BOOT_START * SECTOR);
  } finally {
    await file.close();
  }
}
