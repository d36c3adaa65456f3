/** Further LUNs of a real tgtd's target, as libiscsi's initiators meet them, under a session that lives on. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import type { TargetSpec, TargetUnit } from "../../src/drivers/targets/target-server.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { ALICE, type Session, TargetNetwork } from "./target-network.ts";

const CONTROL = 303;
const MIB = 1024 ** 2;
/** Pages of vital product data. */
const SERIAL_NUMBER = 0x80;
const IDENTIFICATION = 0x83;
const ROUNDS = 50;

const signal = AbortSignal.timeout(170_000);
const directory = mkdtempSync(join(tmpdir(), "ingot-luns-"));
const targets = createTgtServer();
let network: TargetNetwork;
const sessions: Session[] = [];

beforeAll(async () => {
  network = new TargetNetwork(CONTROL);
  await network.startTgtd();
  await targets.ensurePortals(CONTROL, [ALICE.portal], [], signal);
});
afterEach(() => Promise.all(sessions.splice(0).map((session) => session.kill())));
afterAll(async () => {
  await network?.remove();
  rmSync(directory, { recursive: true });
});

/** A disk full of one byte. */
function disk(id: string, byte: number, lun: number, readOnly = false): TargetUnit {
  const path = join(directory, `${id}.raw`);
  writeFileSync(path, Buffer.alloc(4 * MIB, byte));
  return { lun, disk: id, backing: { type: "file", path, unmap: true }, readOnly };
}

function target(...units: TargetUnit[]): TargetSpec {
  const id = units[0]!.disk;
  const chap = { user: `${id}-1`, secret: "correct-horse-1" };
  return { iqn: targetIqn("app-test", id), units, openTo: ALICE.address, chap };
}

const login = ({ iqn, chap }: TargetSpec, lun: number) => ({ iqn, ...chap, lun });
const contentOf = ({ backing }: TargetUnit) => createHash("sha256").update(readFileSync(backing.path)).digest("hex");
const sessionIds = async ({ iqn }: TargetSpec) =>
  (await targets.list(CONTROL, signal)).find((one) => one.iqn === iqn)!.sessions.map(({ id }) => id);

function open(spec: TargetSpec, lun: number): Session {
  const session = network.open(ALICE, login(spec, lun));
  sessions.push(session);
  return session;
}

it("are found by discovery, each with its own disk's bytes, serial and names", async () => {
  const spec = target(disk("root-a", 0x11, 1), disk("data-a", 0x22, 2), disk("data-b", 0x33, 7));
  await targets.ensureTarget(CONTROL, spec, signal);
  const { said } = network.listLuns(ALICE, login(spec, 1));
  expect([...said.matchAll(/Lun:(\d+) +Type:DIRECT_ACCESS/g)].map(([, lun]) => lun)).toEqual(["1", "2", "7"]);
  const names = new Set<string>();
  for (const [lun, byte, id] of [
    [1, 0x11, "root-a"],
    [2, 0x22, "data-a"],
    [7, 0x33, "data-b"],
  ] as const) {
    expect(network.once(ALICE, login(spec, lun), `read -P ${byte} 0 4M`), id).toMatchObject({ ok: true });
    expect(network.inquire(ALICE, login(spec, lun), SERIAL_NUMBER).said).toContain(id);
    names.add(network.inquire(ALICE, login(spec, lun), IDENTIFICATION).said);
  }
  // two disks with one name would be two paths to one disk for multipathd
  expect(names.size).toBe(3);
});

it("come and go again and again under a session that writes, which neither ends nor errs", async () => {
  const [root, data] = [disk("root-c", 0x11, 1), disk("data-c", 0x22, 2)];
  const without = target(root);
  const both = target(root, data);
  await targets.ensureTarget(CONTROL, without, signal);
  const session = open(without, 1);
  await session.command("write -P 5 0 1M");
  const before = await sessionIds(without);
  for (let round = 0; round < ROUNDS; round++) {
    const write = session.command(`write -P ${round + 1} 0 1M`);
    await targets.ensureTarget(CONTROL, round % 2 ? without : both, signal);
    expect(await write, String(round)).toMatch(/^wrote 1048576/);
    expect(await session.command(`read -P ${round + 1} 0 1M`)).toMatch(/^read /);
  }
  expect(await sessionIds(without)).toEqual(before);
  await targets.ensureTarget(CONTROL, both, signal);
  expect(network.once(ALICE, login(both, 2), "read -P 0x22 0 4M")).toMatchObject({ ok: true });
});

it("are taken away while they are written to: errors for that disk, none for the other", async () => {
  const [root, data] = [disk("root-d", 0x11, 1), disk("data-d", 0x22, 2)];
  await targets.ensureTarget(CONTROL, target(root, data), signal);
  const [onRoot, onData] = [open(target(root), 1), open(target(root), 2)];
  await onRoot.command("read 0 4k");
  await onData.command("write -P 1 0 1M");
  const writing = onData.repeat("write -P 2 0 1M", signal);
  await targets.ensureTarget(CONTROL, target(root), signal);
  const content = contentOf(data);
  expect(await onRoot.command("write -P 3 0 1M")).toMatch(/^wrote 1048576/);
  await onData.kill();
  await writing;
  expect(contentOf(data)).toBe(content);
  expect(network.once(ALICE, login(target(root), 2), "read 0 4k")).toMatchObject({ ok: false });
});

it("refuse writes where they are read-only, and their bytes stay what they are", async () => {
  const spec = target(disk("root-e", 0x11, 1), disk("data-e", 0x22, 2, true));
  await targets.ensureTarget(CONTROL, spec, signal);
  const content = contentOf(spec.units[1]!);
  expect(network.once(ALICE, login(spec, 2), "write -P 1 0 4k")).toMatchObject({
    ok: false,
    said: expect.stringMatching(/write.protected/i),
  });
  const reader = { ...login(spec, 2), readOnly: true };
  expect(network.once(ALICE, reader, "read -P 0x22 0 4M")).toMatchObject({ ok: true });
  expect(network.once(ALICE, login(spec, 1), "write -P 1 0 4k")).toMatchObject({ ok: true });
  expect(contentOf(spec.units[1]!)).toBe(content);
});

it("cost the node nothing of its root when one can't be opened", async () => {
  const spec = target(disk("root-f", 0x11, 1), disk("data-f", 0x22, 2), disk("data-g", 0x33, 3));
  rmSync(spec.units[1]!.backing.path);
  await expect(targets.ensureTarget(CONTROL, spec, signal)).rejects.toMatchObject({
    code: "DRIVER_FAILED",
    details: { path: spec.units[1]!.backing.path },
  });
  expect(network.once(ALICE, login(spec, 1), "read -P 0x11 0 4M")).toMatchObject({ ok: true });
  expect(network.once(ALICE, login(spec, 3), "read -P 0x33 0 4M")).toMatchObject({ ok: true });
});
