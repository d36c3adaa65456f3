import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createPowerControls } from "../../../src/drivers/power/create-power-controls.ts";

/** BMCs that no simulator plays: a script stands in for ipmitool and says what theirs made it say. */

const { PATH } = process.env;
const signal = new AbortController().signal;
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "hdp-ipmitool-"));
  process.env.PATH = `${directory}:${PATH}`;
});

afterEach(() => {
  process.env.PATH = PATH;
  rmSync(directory, { recursive: true });
});

/** `script` sees the command in `$command`, the cipher suite in `$suite`. */
function ipmitool(script: string): void {
  const file = join(directory, "ipmitool");
  const prelude = `suite=$5; shift 16; command=$*; echo "$suite $command" >>${directory}/calls`;
  writeFileSync(file, `#!/bin/sh\n${prelude}\n${script}\n`);
  chmodSync(file, 0o755);
}

const calls = () => readFileSync(join(directory, "calls"), "utf8").trim().split("\n");
const power = () =>
  createPowerControls({ confirm: async () => {} })({
    driver: "ipmi",
    address: "192.0.2.1",
    port: 623,
    user: "admin",
    password: "x",
  });

const OLD_BMC = `[ $suite = 3 ] || {
  echo "Error in open session response message : no cipher suite match with proposed security algorithms" >&2
  exit 1
}`;

describe("ipmi power", () => {
  it("falls back to cipher suite 3, and remembers it for that BMC", async () => {
    ipmitool(`${OLD_BMC}\necho "Chassis Power is on"`);
    const one = power();
    expect(await one.status(signal)).toBe("on");
    expect(await one.status(signal)).toBe("on");
    expect(calls()).toEqual(["17 chassis power status", "3 chassis power status", "3 chassis power status"]);
  });

  it("says UNSUPPORTED when the BMC takes neither suite", async () => {
    ipmitool('echo "Error in open session response message : invalid authentication algorithm" >&2; exit 1');
    await expect(power().status(signal)).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });

  it("asks for UEFI boot where the firmware is UEFI, always for all boots", async () => {
    ipmitool('echo "Set Boot Device to $3"');
    await power().setBootDevice("network", "uefi", signal);
    await power().setBootDevice("disk", "bios", signal);
    expect(calls()).toEqual([
      "17 chassis bootdev pxe options=persistent,efiboot",
      "17 chassis bootdev disk options=persistent",
    ]);
  });

  it("counts a refusal as done where the machine already is as wished, and only there", async () => {
    ipmitool(`case $command in
      *status) echo "Chassis Power is off" ;;
      *) echo "Set Chassis Power Control failed: Command not supported in present state" >&2; exit 1 ;;
    esac`);
    await power().off(signal);
    await power().softOff(signal);
    await power().reset(signal);
    await expect(power().on(signal)).rejects.toMatchObject({ code: "DRIVER_FAILED" });
  });

  it("says UNAVAILABLE, retryable, when all sessions of the BMC are taken", async () => {
    ipmitool('echo "RAKP 2 message indicates an error : insufficient resources to create a session" >&2; exit 1');
    await expect(power().status(signal)).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true });
  });

  it.each(["", "Chassis Power is standby", "Chassis Power is on\nmore"])(
    "refuses %j as a power state",
    async (text) => {
      ipmitool(`printf '%s\\n' '${text}'`);
      await expect(power().status(signal)).rejects.toMatchObject({ code: "DRIVER_FAILED" });
    },
  );

  it("names the package when ipmitool is missing", async () => {
    process.env.PATH = directory;
    const error = await power()
      .status(signal)
      .catch((reason) => reason);
    expect(error).toMatchObject({ code: "DRIVER_FAILED", details: { remedy: "install Debian's package ipmitool" } });
  });
});
