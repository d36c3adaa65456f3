import { expect, it } from "vitest";
import { ApplianceError, type ErrorDetails } from "../../../src/errors.ts";
import { createDiskCheck } from "../../../src/storaged/disk-check.ts";
import { decodeError, encodeError } from "../../../src/storaged/protocol.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import { MemoryImageStore } from "../../fakes/memory-image-store.ts";
import { MemoryTargetServer } from "../../fakes/memory-target-server.ts";

const signal = new AbortController().signal;

/** Two networks: the daemon of the first fails with this. */
function checkBeside(details: ErrorDetails) {
  const targets = new MemoryTargetServer();
  const list = targets.list.bind(targets);
  targets.list = async (control?: number) => {
    if (control !== 1) return list();
    throw new ApplianceError("UNAVAILABLE", "no answer", { details });
  };
  return { targets, check: createDiskCheck(new MemoryImageStore(), targets, [1, 2]) };
}

it("passes a daemon that does not run, and finds the target of another one", async () => {
  const { targets, check } = checkBeside({ outage: true, absent: true });
  await check("disk-1", signal);
  await targets.ensureTarget(2, {
    iqn: "iqn.test:disk-1",
    units: [{ lun: 1, disk: "disk-1", backing: { type: "file", path: "/memory/disks/disk-1" }, readOnly: true }],
    openTo: "10.0.0.1" as Ipv4,
    chap: { user: "u", secret: "secretsecret1" },
  });
  await expect(check("disk-1", signal)).rejects.toMatchObject({ code: "IN_USE", details: { iqn: "iqn.test:disk-1" } });
});

it("clears no disk while a daemon hangs: it may serve it", async () => {
  const { check } = checkBeside({ outage: true });
  await expect(check("disk-1", signal)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

it("tells ingotd which daemons do not run", () => {
  const error = new ApplianceError("UNAVAILABLE", "no answer", { details: { outage: true, absent: true } });
  const line = JSON.stringify(encodeError(error));
  expect(decodeError(JSON.parse(line)).details).toEqual({ outage: true, absent: true });
});
