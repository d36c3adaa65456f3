import { type ExecFileSyncOptions, execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";

/** What the lab needs beside Node, all Debian packages. */
const LAB_PACKAGES = [
  "bubblewrap",
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
  "radvd",
  "socat",
  "tgt",
  "xfsprogs",
  "xz-utils",
  "zstd",
];

/** A Ceph of one node, and what an appliance needs to use one. */
const CEPH_PACKAGES = ["ceph-common", "ceph-mgr", "ceph-mon", "ceph-osd", "tgt-rbd"];

/** A switch, and what goes with isolated networks. */
const SWITCH_PACKAGES = ["ethtool", "nftables", "openvswitch-switch"];

const GROUPS: Record<string, string[]> = { lab: LAB_PACKAGES, ceph: CEPH_PACKAGES, switch: SWITCH_PACKAGES };

// biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholder
const STATUS = "${db:Status-Abbrev}";

/** Installs the Debian packages among `names` that are missing (`lab`, `ceph` and `switch` stand for all that those need). Daemons they bring are not started. */
export function installPackages(names: string[]): void {
  const wanted = names.flatMap((name) => GROUPS[name] ?? [name]);
  const missing = wanted.filter((name) => {
    const { stdout } = spawnSync("dpkg-query", ["-W", "-f", STATUS, name], { encoding: "utf8" });
    return !stdout?.startsWith("ii");
  });
  if (missing.length === 0) return;
  console.error(`installing ${missing.join(" ")}`);
  withoutDaemons(() => {
    const run: ExecFileSyncOptions = {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    };
    execFileSync("apt-get", ["-qq", "update"], run);
    execFileSync("apt-get", ["-qq", "install", "-y", "--no-install-recommends", ...missing], run);
  });
}

/** invoke-rc.d and deb-systemd-invoke ask it before they start anything; 101 says no. */
const POLICY = "/usr/sbin/policy-rc.d";
const OUR_POLICY =
  "#!/bin/sh\n# no daemon shall come up because a lab needs its program (removed after the installation)\nexit 101\n";

/** Debian starts what it installs: a tgtd on every address of this machine, for one. */
function withoutDaemons(install: () => void): void {
  const present = existsSync(POLICY) ? readFileSync(POLICY, "utf8") : undefined;
  // the administrator's own policy stands; ours may be left from an installation that was killed
  if (present !== undefined && present !== OUR_POLICY) {
    install();
    return;
  }
  writeFileSync(POLICY, OUR_POLICY, { mode: 0o755 });
  try {
    install();
  } finally {
    rmSync(POLICY);
  }
}
