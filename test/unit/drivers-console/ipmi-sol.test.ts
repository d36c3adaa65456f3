import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createSerialConsoles } from "../../../src/drivers/console/create-serial-consoles.ts";
import { createIpmiShared } from "../../../src/drivers/power/ipmi-commands.ts";

/** The watch over a silent line, with a program in place of ipmitool. */

let directory: string;
const { PATH } = process.env;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-sol-"));
  process.env.PATH = `${directory}:${PATH}`;
});
afterEach(() => {
  process.env.PATH = PATH;
  rmSync(directory, { recursive: true, force: true });
});

it("goes on after a BMC that could not tell whether it serves the line", async () => {
  const asked = join(directory, "asked");
  writeFileSync(
    join(directory, "ipmitool"),
    `#!/bin/sh
case "$*" in
*"sol activate") echo "[SOL Session operational.  Use ~? for help]"; exec sleep 60 ;;
esac
echo >> ${asked}
if [ $(wc -l < ${asked}) = 1 ]; then echo "Unable to send RAW command" >&2; exit 1; fi
echo " 01 00 00"
`,
    { mode: 0o755 },
  );
  const consoles = createSerialConsoles(createIpmiShared(), 0.05);
  const account = { driver: "ipmi", address: "127.0.0.1", port: 623, user: "admin", password: "x" } as const;
  const line = await consoles(account).open(() => {}, AbortSignal.timeout(10_000));
  expect(await line.ended).toBe("its session on the BMC was ended by somebody else");
  expect(readFileSync(asked, "utf8").length).toBe(2);
});
