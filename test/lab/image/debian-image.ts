import { appendFile, chmod, copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runProgram } from "../program.ts";
import { writeBootDisk } from "./boot-disk.ts";
import { cachedImage, LAB_CACHE } from "./image-cache.ts";

const files = join(import.meta.dirname, "files");

const ROOT_LABEL = "INGOT-DEBIAN";
const ROOT_MIB = 1000;
const ESP_MIB = 96;

/** What a bare-metal Debian has beside the minimum; no recommended packages. */
const PACKAGES = [
  ...["systemd-sysv", "udev", "kmod", "dbus", "initramfs-tools", "linux-image-cloud-amd64", "zstd"],
  ...["open-iscsi", "iproute2", "iputils-ping", "procps", "busybox-static", "e2fsprogs", "gdisk", "ca-certificates"],
];

/** What the initramfs must load to reach its root; anything else udev finds in the root. */
const MODULES = [
  "virtio_pci",
  "virtio_net",
  "virtio_blk",
  "iscsi_tcp",
  "iscsi_ibft",
  "sd_mod",
  "ext4",
  "crc32c",
  "crc32c_generic",
];

/** Where each file of `files/` goes. */
const PLACES: [file: string, path: string, mode: number][] = [
  ["announce", "usr/local/sbin/announce", 0o755],
  ["io-writer", "usr/local/bin/io-writer", 0o755],
  ["grow-root", "usr/local/sbin/grow-root", 0o755],
  ["debian/grow-root.service", "etc/systemd/system/grow-root.service", 0o644],
  ["iscsid.conf", "etc/iscsi/iscsid.conf", 0o600],
  ["debian/adopt-firmware-session", "usr/local/sbin/adopt-firmware-session", 0o755],
  ["debian/iscsid.conf", "etc/systemd/system/iscsid.service.d/firmware.conf", 0o644],
  ["debian/announce.service", "etc/systemd/system/announce.service", 0o644],
  ["debian/count-boots.conf", "etc/systemd/system/announce.service.d/count.conf", 0o644],
  ["debian/autologin.conf", "etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf", 0o644],
];

/**
 * The path of a raw image (about 1.1 GiB, most of it empty) of this machine's Debian release with systemd, a stock
 * kernel and a stock initramfs that reads the iBFT, for BIOS and UEFI. Built in two to five minutes by debootstrap,
 * from the mirror that apt uses here, then cached: treat it as read-only. Needs root (chroot), changes nothing outside
 * its folder. Behaves like the tiny image: INGOT-UP, phone-home, INGOT-READY, a root shell on ttyS0, `io-writer`.
 */
export async function buildDebianImage(cacheDirectory = LAB_CACHE): Promise<string> {
  const { codename, mirror } = await release();
  return await cachedImage(cacheDirectory, "debian", [codename, mirror, ...PACKAGES], async (work) => {
    const tree = join(work, "root");
    // A namespace of processes: whatever a package starts ends with it.
    const bootstrap = ["--variant=minbase", `--include=${PACKAGES.join(",")}`, codename, tree, mirror];
    await runProgram("unshare", ["--pid", "--fork", "--kill-child", "--", "debootstrap", ...bootstrap]);
    await configure(tree);
    // On the EFI system partition, where GRUB finds them: the root has no use for them.
    const kernel = join(work, "vmlinuz");
    const initramfs = join(work, "initrd");
    await rename(await bootFile(tree, "vmlinuz-"), kernel);
    await rename(await bootFile(tree, "initrd.img-"), initramfs);
    const append = `root=LABEL=${ROOT_LABEL} ro console=ttyS0,115200 quiet net.ifnames=0`;
    const disk = { kernel, initramfs, append, rootTree: tree, rootLabel: ROOT_LABEL };
    await writeBootDisk({ ...disk, output: join(work, "image.raw"), rootMib: ROOT_MIB, espMib: ESP_MIB });
  });
}

/** Makes a fresh Debian boot from the iBFT's disk and say so. */
async function configure(tree: string): Promise<void> {
  for (const [file, path, mode] of PLACES) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await copyFile(join(files, file), join(tree, path));
    await chmod(join(tree, path), mode);
  }
  await writeFile(join(tree, "etc/hostname"), "node\n");
  await writeFile(join(tree, "etc/tag"), "debian\n");
  await writeFile(join(tree, "etc/phone-home"), "");
  await writeFile(join(tree, "etc/fstab"), `LABEL=${ROOT_LABEL} / ext4 rw,noatime,_netdev 0 0\n`);
  await writeFile(join(tree, "etc/iscsi/iscsi.initramfs"), "ISCSI_AUTO=true\n");
  await writeFile(join(tree, "etc/initramfs-tools/modules"), MODULES.map((module) => `${module}\n`).join(""));
  await appendFile(join(tree, "etc/initramfs-tools/initramfs.conf"), "\nMODULES=list\nCOMPRESS=zstd\n");
  // The caches are big, and a node has no use for them.
  for (const path of [
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
  ]) {
    await rm(join(tree, path), { recursive: true, force: true });
  }
  const script = `passwd -d root
    systemctl enable iscsid.service announce.service grow-root.service serial-getty@ttyS0.service
    update-initramfs -u`;
  const chroot = [
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    `--mount-proc=${join(tree, "proc")}`,
    "--",
    "chroot",
    tree,
  ];
  await runProgram("unshare", [...chroot, "sh", "-ec", script], { env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } });
}

async function bootFile(tree: string, prefix: string): Promise<string> {
  const found = (await readdir(join(tree, "boot"))).find((file) => file.startsWith(prefix));
  if (!found) throw new Error(`debootstrap left no ${prefix} in ${tree}/boot`);
  return join(tree, "boot", found);
}

/** This machine's Debian release, and where its apt gets that from. */
async function release(): Promise<{ codename: string; mirror: string }> {
  const codename = /^VERSION_CODENAME=(\S+)$/m.exec(await readFile("/etc/os-release", "utf8"))?.[1];
  const format = "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)";
  const targets = await runProgram("apt-get", ["indextargets", "--format", format, "Created-By: Packages"]);
  const mirror = new RegExp(`^Debian ${codename} main (\\S+)$`, "m").exec(targets)?.[1];
  if (!codename || !mirror) throw new Error("apt has no Debian mirror for this machine's release; is this Debian?");
  return { codename, mirror };
}
