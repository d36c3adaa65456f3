import { execFileSync, spawnSync } from "node:child_process";

/** What the lab needs beside Node, all Debian packages. */
const LAB_PACKAGES = [
  "busybox-static",
  "cpio",
  "dosfstools",
  "gdisk",
  "grub-common",
  "grub-efi-amd64-bin",
  "grub-pc-bin",
  "ipmitool",
  "iproute2",
  "ipxe",
  "ipxe-qemu",
  "kmod",
  "mtools",
  "open-iscsi",
  "openipmi",
  "ovmf",
  "qemu-system-x86",
  "qemu-utils",
  "socat",
  "tgt",
  "xfsprogs",
  "zstd",
];

// biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholder
const STATUS = "${db:Status-Abbrev}";

/** Installs the Debian packages among `names` that are missing (`lab` stands for all that the lab needs). Daemons they bring are not started. */
export function installPackages(names: string[]): void {
  const wanted = names.flatMap((name) => (name === "lab" ? LAB_PACKAGES : [name]));
  const missing = wanted.filter((name) => {
    const { stdout } = spawnSync("dpkg-query", ["-W", "-f", STATUS, name], { encoding: "utf8" });
    return !stdout?.startsWith("ii");
  });
  if (missing.length === 0) return;
  console.error(`installing ${missing.join(" ")}`);
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  execFileSync("apt-get", ["-qq", "update"], { stdio: ["ignore", "ignore", "inherit"], env: environment });
  execFileSync("apt-get", ["-qq", "install", "-y", "--no-install-recommends", ...missing], {
    stdio: ["ignore", "ignore", "inherit"],
    env: environment,
  });
}
