import { randomBytes } from "node:crypto";
import { copyFile, mkdir, truncate, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { BmcAccount } from "../../src/drivers/power/power-control.ts";
import { startBmc } from "./bmc.ts";
import { endProcess, findProcess } from "./lab-state.ts";
import type { LabNetwork } from "./namespace.ts";
import { type NodeConsole, openNodeConsole } from "./node-console.ts";

/**
 * How the NIC boots: `ipxe` has QEMU's own iPXE ROM (BIOS or UEFI); `firmware` has no ROM, so that OVMF's PXE
 * client does it; `http` likewise with OVMF's UEFI HTTP boot and no PXE.
 */
export type NodeLoader = "ipxe" | "firmware" | "http";

export type VirtualNodeOptions = {
  /** Unique in the lab, at most 11 characters. */
  name: string;
  mac: string;
  firmware: "bios" | "uefi";
  /** Bridge of the lab network that it is cabled to. */
  bridge: string;
  /** Default `ipxe`. */
  loader?: NodeLoader;
  /** Whether its BIOS goes through the boot order again when nothing boots, as servers can be told to. */
  retriesBoot?: boolean;
  nicModel?: "virtio-net-pci" | "e1000";
  memoryMib?: number;
  /** A raw disk to copy as local disk; without it an empty one of `diskMib`. */
  localDisk?: string;
  /** What is its local disk instead of a file, in QEMU's words: `rbd:POOL/IMAGE:conf=FILE`. */
  localDrive?: string;
  diskMib?: number;
  /** Where its BMC answers: every node in the lab needs its own address (anything in 127.0.0.0/8) or port. */
  bmc: { address: string; port?: number; user?: string; password?: string };
};

/** A virtual bare-metal machine, switched off, behind a BMC. Its power is the BMC's alone. */
export type VirtualNode = {
  name: string;
  mac: string;
  firmware: "bios" | "uefi";
  directory: string;
  bmc: BmcAccount & { driver: "ipmi" };
  console: NodeConsole;
  /** Whether its QEMU runs, seen without the BMC. */
  running(): Promise<boolean>;
  /** Ends BMC and machine, the hard way. Its files stay until the lab goes. May be called twice. */
  destroy(): Promise<void>;
};

const OVMF = "/usr/share/OVMF";

/** Makes a node and starts its BMC. Files lie in `<stateDirectory>/nodes/<name>`; processes are `<name>.bmc`, `.sol` and `.qemu`. */
export async function createVirtualNode(network: LabNetwork, options: VirtualNodeOptions): Promise<VirtualNode> {
  const { name, mac, firmware, bridge, localDisk, diskMib = 1024 } = options;
  const { stateDirectory } = network;
  const directory = resolve(stateDirectory, "nodes", name);
  const tap = `tap-${name}`;
  if (tap.length > 15) throw new Error(`node name "${name}" is longer than 11 characters`);
  // sun_path has 108 bytes
  if (directory.length > 90)
    throw new Error(`"${directory}" is too long for unix sockets: choose a shorter state directory`);
  const { address, port = 623, user = "admin", password = randomBytes(8).toString("hex") } = options.bmc;

  await mkdir(directory, { recursive: true });
  await network.addTap(tap, bridge);
  const disk = join(directory, "disk.raw");
  if (localDisk) await copyFile(localDisk, disk);
  else {
    await writeFile(disk, "");
    await truncate(disk, diskMib * 1024 * 1024);
  }
  if (firmware === "uefi") await copyFile(`${OVMF}/OVMF_VARS_4M.fd`, join(directory, "vars.fd"));
  const argv = ["nsenter", `--net=/run/netns/${network.portsIn}`, ...machine(options, directory, tap)];
  await writeFile(join(directory, "qemu"), `${argv.join("\n")}\n`);

  const console = await openNodeConsole(directory);
  // ipmi_sim reaches a serial line by TCP only.
  await network.start(["socat", `TCP-LISTEN:${port},bind=${address},reuseaddr,fork`, `UNIX-CONNECT:${console.line}`], {
    name: `${name}.sol`,
    stdio: ["ignore", "ignore", "ignore"],
  });
  await startBmc({
    ...{ name, directory, stateDirectory, address, port, user, password, serialLine: true },
    start: network.start,
    run: network.run,
  });
  return {
    name,
    mac,
    firmware,
    directory,
    bmc: { driver: "ipmi", address, port, user, password },
    console,
    running: async () => (await findProcess(stateDirectory, `${name}.qemu`)) !== undefined,
    async destroy() {
      for (const part of ["bmc", "sol", "qemu"]) await endProcess(stateDirectory, `${name}.${part}`);
      await console.close();
    },
  };
}

/**
 * The accelerator: plain emulation, which is the same everywhere. /dev/kvm may exist and still hang a guest, so it is
 * used only where somebody who knows the machine sets INGOT_LAB_KVM=1.
 */
function accelerator(): string[] {
  return process.env.INGOT_LAB_KVM === "1" ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg,thread=multi"];
}

/** How long SeaBIOS shows that nothing boots before it starts again. */
const RETRY_MS = 3000;

/** QEMU's argument vector. `@network@` becomes the NIC's place in the boot order at each power-on (see chassis.sh). */
function machine(options: VirtualNodeOptions, directory: string, tap: string): string[] {
  const { name, mac, firmware, loader = "ipxe", nicModel = "virtio-net-pci", memoryMib = 512 } = options;
  const rom = loader === "ipxe" ? "" : ",romfile=";
  const uefi = [
    ...["-drive", `if=pflash,format=raw,readonly=on,file=${OVMF}/OVMF_CODE_4M.fd`],
    ...["-drive", `if=pflash,format=raw,file=${directory}/vars.fd`],
  ];
  // nobody serves IPv6 here, and OVMF waits a minute for it; without PXE by IPv4 it goes straight to HTTP boot
  const without = { ipxe: [], firmware: ["IPv6PXESupport"], http: ["IPv4PXESupport", "IPv6PXESupport"] }[loader];
  return [
    ...["qemu-system-x86_64", "-name", name, ...accelerator(), "-m", String(memoryMib)],
    ...["-machine", firmware === "uefi" ? "q35,graphics=off" : "pc,graphics=off"],
    ...["-display", "none", "-no-user-config", "-nodefaults"],
    ...["-monitor", `unix:${directory}/monitor.sock,server=on,wait=off`],
    ...[
      "-chardev",
      `socket,id=line,path=${directory}/serial.sock,reconnect=1,logfile=${directory}/console.log,logappend=on`,
    ],
    ...["-serial", "chardev:line"],
    ...["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"],
    ...["-drive", `if=none,id=disk,file=${options.localDrive ?? `${directory}/disk.raw`},format=raw`],
    ...["-device", "virtio-blk-pci,drive=disk,bootindex=2"],
    ...["-netdev", `tap,id=net,ifname=${tap},script=no,downscript=no,vhost=off,vnet_hdr=off`],
    ...["-device", `${nicModel},id=boot-nic,netdev=net,mac=${mac},bootindex=@network@${rom}`],
    ...(firmware === "uefi" ? uefi : []),
    ...(options.retriesBoot ? ["-boot", `reboot-timeout=${RETRY_MS}`] : []),
    ...without.flatMap((key) => ["-fw_cfg", `name=opt/org.tianocore/${key},string=n`]),
  ];
}
