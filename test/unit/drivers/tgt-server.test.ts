import { describe, expect, it } from "vitest";
import type { TargetSpec } from "../../../src/drivers/targets/target-server.ts";
import type { TgtClient } from "../../../src/drivers/targets/tgt-client.ts";
import { tgtdArguments } from "../../../src/drivers/targets/tgt-daemon.ts";
import { targetId } from "../../../src/drivers/targets/tgt-ensure.ts";
import { createTgtServer } from "../../../src/drivers/targets/tgt-server.ts";
import { ApplianceError } from "../../../src/errors.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import { targetIqn } from "../../../src/values/iqn.ts";

const signal = new AbortController().signal;
const spec: TargetSpec = {
  iqn: "iqn.2026-11.org.ingot:app-1:disk-1",
  units: [
    {
      lun: 1,
      disk: "disk-1",
      backing: { type: "file", path: "/pool/disks/disk-1.raw", unmap: true },
      readOnly: false,
    },
  ],
  openTo: "10.0.0.5" as Ipv4,
  chap: { user: "a", secret: "secretsecret1", reverse: { user: "b", secret: "secretsecret2" } },
};

/** A daemon that answers `show` with a text and notes every change it is asked for. */
function scripted(shown: string) {
  const changes: string[] = [];
  const client: TgtClient = async (_, request) => {
    if (request.operation === "show") return request.mode === "target" ? shown : "Account list:\n";
    const keys = Object.entries(request.parameters ?? {}).map(([key, value]) => `${key}=${value}`);
    changes.push([request.mode, request.operation, request.direction ?? "", ...keys].filter(Boolean).join(" "));
    return "";
  };
  return { targets: createTgtServer({ client }), changes };
}

describe("a new target", () => {
  it("lets nobody in before its accounts are bound", async () => {
    const { targets, changes } = scripted("");
    await targets.ensureTarget(0, spec, signal);
    expect(changes).toEqual([
      "target new targetname=iqn.2026-11.org.ingot:app-1:disk-1",
      "unit new path=/pool/disks/disk-1.raw bstype=rdwr bsoflags=sync",
      "unit update vendor_id=INGOT product_id=disk scsi_id=disk-1 scsi_sn=disk-1 thin_provisioning=1 readonly=0",
      "account new user=a password=secretsecret1",
      "account bind incoming user=a",
      "account new user=b password=secretsecret2",
      "account bind outgoing user=b",
      "target bind initiator-address=10.0.0.5",
    ]);
  });
});

describe("a target of which disks are lost", () => {
  const [root] = spec.units;
  const units = [2, 3, 4].map((lun) => ({
    ...{ lun, disk: `disk-${lun}`, readOnly: false },
    backing: { type: "file" as const, path: `/pool/disks/disk-${lun}.raw` },
  }));

  /** A daemon that can't open these disks. */
  function without(...lost: string[]) {
    const changes: string[] = [];
    const client: TgtClient = async (_, { mode, operation, parameters }) => {
      if (operation === "show") return "";
      if (lost.some((disk) => parameters?.path === `/pool/disks/${disk}.raw`)) {
        throw new ApplianceError("DRIVER_FAILED", "refused", { details: { tgt: "invalid request" } });
      }
      changes.push(`${mode} ${operation}`);
      return "";
    };
    return { targets: createTgtServer({ client }), changes };
  }

  it("serves the others, and tells of all that are missing", async () => {
    const { targets, changes } = without("disk-2", "disk-4");
    await expect(targets.ensureTarget(0, { ...spec, units: [root!, ...units] }, signal)).rejects.toMatchObject({
      code: "DRIVER_FAILED",
      message: "new LUN: tgtd can't open /pool/disks/disk-2.raw; new LUN: tgtd can't open /pool/disks/disk-4.raw",
      details: { path: "/pool/disks/disk-2.raw", luns: [2, 4] },
    });
    expect(changes.filter((change) => change === "unit new")).toHaveLength(2);
    expect(changes).toContain("target bind");
  });

  it("is open to nobody when none is left", async () => {
    const { targets, changes } = without("disk-1");
    await expect(targets.ensureTarget(0, spec, signal)).rejects.toMatchObject({ details: { luns: [1] } });
    expect(changes).toEqual(["target new"]);
  });
});

describe("a target with foreign accounts", () => {
  const shown = `Target 3: ${spec.iqn}
    LUN information:
        LUN: 1
            SCSI ID: disk-1
            SCSI SN: disk-1
            Thin-provisioning: Yes
            Backing store type: rdwr
            Backing store path: /pool/disks/disk-1.raw
            Backing store flags: sync
    Account information:
        x
        y
        z (outgoing)
    ACL information:
        10.0.0.5
`;

  it("is shut while they change, and they go from the last to the first: tgtd dies of a hole in its list", async () => {
    const { targets, changes } = scripted(shown);
    await targets.ensureTarget(0, spec, signal);
    expect(changes).toEqual([
      "target unbind initiator-address=10.0.0.5",
      "account delete user=z",
      "account delete user=y",
      "account delete user=x",
      "account new user=a password=secretsecret1",
      "account bind incoming user=a",
      "account new user=b password=secretsecret2",
      "account bind outgoing user=b",
      "target bind initiator-address=10.0.0.5",
    ]);
  });

  it("is removed in an order that a repeated call can take up anywhere: the target last", async () => {
    const { targets, changes } = scripted(shown);
    const deleting = targets.removeTarget(0, spec.iqn, signal);
    await deleting;
    expect(changes).toEqual([
      "target unbind initiator-address=10.0.0.5",
      "account delete user=z",
      "account delete user=y",
      "account delete user=x",
      "target delete",
    ]);
  });
});

it("makes a target anew whose file is open for writes that wait in memory", async () => {
  const { targets, changes } = scripted(`Target 3: ${spec.iqn}
    LUN information:
        LUN: 1
            SCSI ID: disk-1
            SCSI SN: disk-1
            Thin-provisioning: Yes
            Backing store type: rdwr
            Backing store path: /pool/disks/disk-1.raw
            Backing store flags: direct
`);
  expect(await targets.list(0, signal)).toMatchObject([{ writeThrough: false }]);
  await targets.ensureTarget(0, spec, signal);
  expect(changes.filter((one) => /^(target|unit) (delete|new)/.test(one))).toEqual([
    "target delete",
    "target new targetname=iqn.2026-11.org.ingot:app-1:disk-1",
    "unit new path=/pool/disks/disk-1.raw bstype=rdwr bsoflags=sync",
  ]);
});

describe("a target's id", () => {
  it("comes from its IQN alone, fits into the WWN, and gives way when taken", () => {
    const iqn = targetIqn("app-1", "disk-7k2m9q4x0b3d");
    const tid = targetId(iqn, new Set());
    expect(targetId(iqn, new Set([1, 2, 3]))).toBe(tid);
    expect(targetId(iqn, new Set([tid, tid + 1]))).toBe(tid + 2);
    for (let n = 0; n < 1000; n++) {
      const id = targetId(targetIqn("app-1", `disk-${n}`), new Set());
      expect(id).toBeGreaterThan(0);
      expect(id).toBeLessThan(2 ** 28);
    }
  });
});

it("starts tgtd on a loopback portal", () => {
  expect(tgtdArguments({ control: 5, loopbackPort: 23005 }).join(" ")).toBe(
    "-f -C 5 -t 8 --iscsi nop_interval=5,nop_count=2000000000,portal=127.0.0.1:23005",
  );
});
