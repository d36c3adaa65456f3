import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createPowerControls } from "../../src/drivers/power/create-power-controls.ts";
import type { PowerControl } from "../../src/drivers/power/power-control.ts";
import { isApplianceError } from "../../src/errors.ts";
import { type HilRack, startHilRack } from "../fakes/hil/rack.ts";
import { MemoryPower } from "../fakes/memory-power.ts";
import { startBmc } from "../lab/bmc.ts";
import { destroyEverything, findProcess, startProcess } from "../lab/lab-state.ts";
import { runProgram } from "../lab/program.ts";

/**
 * What every PowerControl must do, against the fake, against ipmitool talking to a real BMC (ipmi_sim) whose machine is a
 * process that does nothing, and against the double of HIL; what only IPMI promises follows.
 */

const ADDRESS = "127.0.0.1";
const PORT = 24010;
const NOBODY_PORT = 24011;
const PASSWORD = "corr-horse-7";
const signal = () => AbortSignal.timeout(60_000);
const controls = createPowerControls({ confirm: async () => {} });
const hasty = createPowerControls({ confirm: async () => {}, callSeconds: 0.5 });

const directory = join(tmpdir(), "hdp-power-contract");
const machine = join(directory, "n1");
let rack: HilRack;

const account = (changes: { port?: number; user?: string; password?: string } = {}) =>
  ({ driver: "ipmi", address: ADDRESS, port: PORT, user: "admin", password: PASSWORD, ...changes }) as const;
const ipmi = (changes: Parameters<typeof account>[0] = {}) => controls(account(changes));
const runs = async () => (await findProcess(directory, "n1.qemu")) !== undefined;

beforeAll(async () => {
  rack = await startHilRack();
  await destroyEverything(directory);
  mkdirSync(machine, { recursive: true });
  // The chassis takes any program for a machine.
  writeFileSync(join(machine, "qemu"), "sleep\n1000\n");
  await startBmc({
    name: "n1",
    directory: machine,
    stateDirectory: directory,
    address: ADDRESS,
    port: PORT,
    user: "admin",
    password: PASSWORD,
    start: (argv, options) => startProcess(directory, argv, options),
    run: ([program = "", ...args], options) => runProgram(program, args, options),
  });
});

afterAll(async () => {
  await rack.stop();
  await destroyEverything(directory);
});

const implementations: [name: string, make: () => PowerControl][] = [
  ["the fake", () => new MemoryPower()],
  ["ipmi", () => ipmi()],
  ["hil", () => controls({ driver: "hil", node: "n1", hil: rack.account })],
];

function unlessUnsupported(error: unknown): void {
  if (!isApplianceError(error, "UNSUPPORTED")) throw error;
}

describe.each(implementations)("power control: %s", (_name, make) => {
  it("does every verb, and does it twice without harm", async () => {
    const power = make();
    for (let time = 0; time < 2; time++) await power.off(signal());
    expect(await power.status(signal())).toBe("off");
    for (let time = 0; time < 2; time++) await power.setBootDevice("network", "uefi", signal());
    for (let time = 0; time < 2; time++) await power.on(signal());
    expect(await power.status(signal())).toBe("on");
    for (let time = 0; time < 2; time++) await power.reset(signal());
    expect(await power.status(signal())).toBe("on");
    for (let time = 0; time < 2; time++) await power.softOff(signal()).catch(unlessUnsupported);
    for (let time = 0; time < 2; time++) await power.setBootDevice("disk", "bios", signal());
    await power.off(signal());
    expect(await power.status(signal())).toBe("off");
  });
});

describe("ipmi", () => {
  it("switches the machine itself", async () => {
    await ipmi().on(signal());
    expect(await runs()).toBe(true);
    const first = await findProcess(directory, "n1.qemu");
    await ipmi().on(signal());
    expect(await findProcess(directory, "n1.qemu")).toBe(first);
    await ipmi().reset(signal());
    expect(await findProcess(directory, "n1.qemu")).not.toBe(first);
    await ipmi().off(signal());
    expect(await runs()).toBe(false);
  });

  it("tells of a restart that the BMC logged, by the BMC's own clock", async () => {
    const { bmc, event } = {
      bmc: ["-H", ADDRESS, "-p", String(PORT), "-U", "admin", "-E"],
      event: join(directory, "event"),
    };
    expect(await ipmi().sinceRestart(signal())).toBeUndefined();
    for (const [sensor, told] of [
      ["0x01", false], // temperature
      ["0x1d", true], // system boot initiated
    ] as const) {
      writeFileSync(event, `0x04 ${sensor} 0x01 0x6f 0x00 0xff 0xff\n`);
      await runProgram("ipmitool", ["-I", "lanplus", "-C", "3", ...bmc, "sel", "add", event], {
        env: { ...process.env, IPMI_PASSWORD: PASSWORD },
      });
      const seconds = await ipmi().sinceRestart(signal());
      if (told) expect(seconds).toBeLessThan(30);
      else expect(seconds).toBeUndefined();
    }
  });

  it("tells the BMC what to boot from, for all boots", async () => {
    const bootDevice = () => readFileSync(join(machine, "boot-device"), "utf8").trim();
    await ipmi().setBootDevice("network", "bios", signal());
    expect(bootDevice()).toBe("pxe");
    await ipmi().setBootDevice("disk", "uefi", signal());
    expect(bootDevice()).toBe("default");
  });

  it("says UNAUTHENTICATED, with a remedy and without the password, for a wrong password or user", async () => {
    for (const wrong of [{ password: "not-the-secret" }, { user: "bob" }]) {
      const error = await ipmi(wrong)
        .status(signal())
        .catch((reason) => reason);
      expect(error).toMatchObject({ code: "UNAUTHENTICATED", retryable: false });
      expect(error.details.remedy).toContain("password");
      expect(JSON.stringify([error.message, error.details, String(error.cause)])).not.toMatch(
        /not-the-secret|corr-horse/,
      );
    }
  });

  it("says INVALID for a password that IPMI can't carry", async () => {
    await expect(ipmi({ password: "x".repeat(21) }).status(signal())).rejects.toMatchObject({
      code: "INVALID",
      details: { field: "password" },
    });
  });

  it("says UNAVAILABLE, retryable, for a BMC that does not answer", async () => {
    await expect(ipmi({ port: NOBODY_PORT }).status(signal())).rejects.toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
      details: { bmc: `${ADDRESS}:${NOBODY_PORT}` },
    });
  });

  it("says TIMEOUT at the deadline of a call, and kills the program", async () => {
    await expect(hasty(account({ port: NOBODY_PORT })).status(signal())).rejects.toMatchObject({
      code: "TIMEOUT",
      retryable: true,
    });
    expect(ipmitoolsRunning(NOBODY_PORT)).toEqual([]);
  });

  it("kills the program when the caller gives up, whose turn it is or not", async () => {
    const controller = new AbortController();
    const calls = [1, 2].map(() =>
      ipmi({ port: NOBODY_PORT })
        .status(controller.signal)
        .catch((reason) => reason),
    );
    await until(() => ipmitoolsRunning(NOBODY_PORT).length > 0);
    controller.abort();
    for (const call of calls) expect(await call).toMatchObject({ code: "CANCELLED" });
    await until(() => ipmitoolsRunning(NOBODY_PORT).length === 0);
  });

  it("runs one call at a time per BMC, and shows the password in no argument vector", async () => {
    let over = false;
    let most = 0;
    const vectors = new Set<string>();
    const watch = (async () => {
      while (!over) {
        const running = ipmitoolsRunning(PORT);
        most = Math.max(most, running.length);
        for (const vector of running) vectors.add(vector);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const answers = await Promise.all(Array.from({ length: 6 }, () => ipmi().status(signal())));
    over = true;
    await watch;
    expect(new Set(answers).size).toBe(1);
    expect(most).toBe(1);
    expect([...vectors].join("\n")).toContain("chassis power status");
    expect([...vectors].join("\n")).not.toContain(PASSWORD);
  });
});

/** The argument vectors of all ipmitool processes that talk to this port. */
function ipmitoolsRunning(port: number): string[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      } catch {
        return "";
      }
    })
    .filter((vector) => vector.startsWith("ipmitool ") && vector.includes(` -p ${port} `));
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error("it did not come to pass within 10 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
