import { chmod, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "../program.ts";
import { copyProgram } from "./libraries.ts";

const files = join(import.meta.dirname, "files");

/** Where each file of `files/` goes in the root, and whether it is run. */
const PLACES: [file: string, path: string, mode: number][] = [
  ["inittab", "etc/inittab", 0o644],
  ["rc.boot", "etc/rc.boot", 0o755],
  ["rc.shutdown", "etc/rc.shutdown", 0o755],
  ["announce", "bin/announce", 0o755],
  ["grow-root", "bin/grow-root", 0o755],
  ["io-writer", "bin/io-writer", 0o755],
  ["fio-rounds", "bin/fio-rounds", 0o755],
  ["iscsid.conf", "etc/iscsi/iscsid.conf", 0o600],
];

/** What `grow-root` runs. */
const GROWING = ["/sbin/sgdisk", "/usr/bin/partx", "/sbin/resize2fs"];

/** Fills an empty folder with the tiny image's root: busybox, iscsid and its libraries, our scripts. */
export async function buildRootTree(
  tree: string,
  options: { tag: string; phoneHome: boolean; programs: string[] },
): Promise<void> {
  for (const directory of [
    "bin",
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "root",
    "var/lib",
    "etc/iscsi",
    "etc/acpi/PWRF",
  ]) {
    await mkdir(join(tree, directory), { recursive: true });
  }
  await symlink("bin", join(tree, "sbin"));
  await copyFile("/bin/busybox", join(tree, "bin/busybox"));
  for (const applet of (await runProgram("/bin/busybox", ["--list"])).trim().split("\n")) {
    if (applet !== "busybox") await symlink("busybox", join(tree, "bin", applet));
  }
  const iscsid = await copyProgram("/sbin/iscsid", tree);
  await writeFile(join(tree, "etc/iscsi/iscsid.files"), `${iscsid.join("\n")}\n`);
  for (const program of [...GROWING, ...options.programs]) await copyProgram(program, tree);
  for (const [file, path, mode] of PLACES) {
    await copyFile(join(files, file), join(tree, path));
    await chmod(join(tree, path), mode);
  }
  // The name is the iBFT's, known at boot only.
  await symlink("/run/initiatorname.iscsi", join(tree, "etc/iscsi/initiatorname.iscsi"));
  await symlink("/run", join(tree, "var/run"));
  await symlink("/run/lock", join(tree, "var/lock"));
  // What busybox acpid runs when the power button is pressed: ACPI soft-off.
  await writeFile(join(tree, "etc/acpi/PWRF/00000080"), "#!/bin/sh\nexec poweroff\n", { mode: 0o755 });
  await writeFile(join(tree, "etc/passwd"), "root::0:0:root:/root:/bin/sh\n");
  await writeFile(join(tree, "etc/group"), "root:x:0:\n");
  await writeFile(join(tree, "etc/tag"), `${options.tag}\n`);
  if (options.phoneHome) await writeFile(join(tree, "etc/phone-home"), "");
}
