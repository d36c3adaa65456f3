/** What `rbd import-diff` ends with when Ceph has no room: a cluster can't be filled in a test's time, so its program is stood in for. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { runProgram } from "../lab/program.ts";

const ROOT = resolve(import.meta.dirname, "../..");
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-rbd-full-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** What the caller of an import is told, in a mount namespace where this script is the program `rbd`. */
async function told(script: string): Promise<Record<string, unknown>> {
  const program = join(directory, "rbd");
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  writeFileSync(
    join(directory, "caller.ts"),
    `import { Readable } from "node:stream";
     import { importDiff } from "${ROOT}/src/drivers/images/rbd/rbd-command.ts";
     const pieces = function* () { for (let at = 0; at < 64; at++) yield Buffer.alloc(1024 * 1024); };
     const call = { access: { conf: "/dev/null", user: "test", pool: "test" }, action: "import", signal: AbortSignal.timeout(60000) };
     const { code, message, details } = await importDiff(Readable.from(pieces()), "test/volume", call).then(() => ({}), (error) => error);
     console.log(JSON.stringify({ code, message, details }));`,
  );
  const line = 'mount --bind "$1" "$(command -v rbd)" && exec "$2" "$3"';
  const caller = ["sh", "-c", line, "sh", program, process.execPath, join(directory, "caller.ts")];
  return JSON.parse(await runProgram("unshare", ["--mount", "--propagation", "private", ...caller]));
}

it("says that the pool is full, although not all was read", async () => {
  const script = "head -c 100000 >/dev/null; echo 'rbd: import-diff failed: (28) No space left on device' >&2; exit 28";
  expect(await told(script)).toMatchObject({
    code: "POOL_FULL",
    details: { driver: "rbd", ceph: "full", remedy: expect.stringContaining("ceph df") },
  });
});

it("says what else it ended with", async () => {
  expect(await told("head -c 100000 >/dev/null; echo 'rbd: bad diff' >&2; exit 22")).toMatchObject({
    code: "DRIVER_FAILED",
    message: "import: rbd: bad diff",
  });
});
