import type { ChildProcess } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type LabProcessOptions, processRecord } from "./lab-state.ts";
import type { ProgramOptions } from "./program.ts";

const CHASSIS = join(import.meta.dirname, "chassis.sh");
const START_DEADLINE_MS = 20_000;

export type BmcOptions = {
  name: string;
  /** Folder of the machine; it must hold `qemu`, the machine's argument vector, one word per line (see chassis.sh). */
  directory: string;
  stateDirectory: string;
  address: string;
  /** UDP port; on the same TCP port the serial line is looked for, if `serialLine` is set. */
  port: number;
  user: string;
  /** At most 20 bytes. */
  password: string;
  /** Whether a serial line is served over LAN (SOL), from TCP `address`:`port`. */
  serialLine?: boolean;
  /** Starts a program where the BMC shall live: `network.start`, or startProcess. */
  start(argv: string[], options: LabProcessOptions): Promise<ChildProcess>;
  /** Runs a program to its end where the BMC is reached: `network.run`, or runProgram. */
  run(argv: string[], options?: ProgramOptions): Promise<string>;
};

/** Starts an IPMI 2.0 BMC (ipmi_sim) that owns the power of one machine; process `<name>.bmc`. Returns once it answers. */
export async function startBmc(options: BmcOptions): Promise<void> {
  const { name, directory, address, port, user, password } = options;
  const state = join(directory, "bmc");
  await mkdir(state, { recursive: true });
  const config = join(state, "lan.conf");
  const emulation = join(state, "mc.emu");
  await writeFile(config, lanConfig(options), { mode: 0o600 });
  await writeFile(emulation, EMULATION);
  await options.start(["ipmi_sim", "-n", "-c", config, "-f", emulation, "-s", state], {
    name: `${name}.bmc`,
    stdio: ["ignore", "ignore", "ignore"],
  });
  const deadline = Date.now() + START_DEADLINE_MS;
  const status = ["ipmitool", "-I", "lanplus", "-C", "3", "-H", address, "-p", String(port), "-U", user, "-E"];
  for (;;) {
    try {
      await options.run([...status, "-N", "1", "-R", "1", "chassis", "power", "status"], {
        env: { ...process.env, IPMI_PASSWORD: password },
      });
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

function lanConfig(options: BmcOptions): string {
  const { name, directory, stateDirectory, address, port, user, password } = options;
  const pidFile = processRecord(stateDirectory, `${name}.qemu`);
  const lines = [
    `name "${name}"`,
    "set_working_mc 0x20",
    "startlan 1",
    `addr ${address} ${port}`,
    "priv_limit admin",
    ...["callback", "user", "operator", "admin"].map((level) => `allowed_auths_${level} md5`),
    `guid ${Buffer.from(name).toString("hex").padEnd(32, "0").slice(0, 32)}`,
    "endlan",
    `chassis_control "${CHASSIS} ${directory} ${pidFile} 0x20"`,
    ...(options.serialLine ? [`sol "tcp:${address}:${port}" 115200`] : []),
    // User 1 has no name by definition, and is switched off.
    'user 1 false "" "" user 1 md5',
    `user 2 true "${user}" "${password}" admin 10 md5`,
  ];
  return `${lines.join("\n")}\n`;
}

/** One management controller without sensors. */
const EMULATION = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
`;
