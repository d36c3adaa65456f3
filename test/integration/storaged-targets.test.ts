/**
 * What initiators meet: a real tgtd in one network namespace, libiscsi's initiators in two others.
 *
 *   hds-a 10.91.1.10 ---- 10.91.1.1 hds-srv 10.91.2.1 ---- 10.91.2.10 hds-b
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { TargetSpec } from "../../src/drivers/targets/target-server.ts";
import { createTgtClient } from "../../src/drivers/targets/tgt-client.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { ALICE, BOB, type Session, TargetNetwork } from "./target-network.ts";
import { until } from "./until.ts";

const CONTROL = 302;
const MIB = 1024 ** 2;
const signal = AbortSignal.timeout(170_000);
const directory = mkdtempSync(join(tmpdir(), "ingot-targets-"));
const targets = createTgtServer();
const ask = createTgtClient();
let network: TargetNetwork;
let sessions: Session[] = [];

beforeAll(async () => {
  network = new TargetNetwork(CONTROL);
  await network.startTgtd();
  await targets.ensurePortals(CONTROL, [ALICE.portal, BOB.portal], [], signal);
});
afterEach(async () => {
  await Promise.all(sessions.map((session) => session.kill()));
  sessions = [];
});
afterAll(async () => {
  await network?.remove();
  rmSync(directory, { recursive: true });
});

/** A disk full of 0x5a, and how it shall be served to Alice. */
function disk(id: string): TargetSpec {
  const path = join(directory, `${id}.raw`);
  writeFileSync(path, Buffer.alloc(4 * MIB, 0x5a));
  return {
    iqn: targetIqn("app-test", id),
    units: [{ lun: 1, disk: id, backing: { type: "file", path }, readOnly: false }],
    openTo: ALICE.address,
    chap: { user: `${id}-1`, secret: "correct-horse-1" },
  };
}

function backingOf({ units }: TargetSpec) {
  return units[0]!.backing;
}

function login({ iqn, chap }: TargetSpec) {
  return { iqn, ...chap };
}

function open(...from: Parameters<TargetNetwork["open"]>): Session {
  const session = network.open(...from);
  sessions.push(session);
  return session;
}

async function state({ iqn }: TargetSpec) {
  return (await targets.list(CONTROL, signal)).find((one) => one.iqn === iqn);
}

async function milliseconds(what: string, action: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  await action();
  console.log(`${what}: ${(performance.now() - started).toFixed(1)} ms`);
}

/** Pages of vital product data. */
const SERIAL_NUMBER = 0x80;
const IDENTIFICATION = 0x83;
const READ = "read -P 0x5a 0 4M";

describe("access", () => {
  const target = disk("disk-access");
  beforeAll(() => milliseconds("ensureTarget, new", () => targets.ensureTarget(CONTROL, target, signal)));

  it("lets the right address with the right secret read the disk's bytes", () => {
    expect(network.once(ALICE, login(target), READ)).toMatchObject({ ok: true });
  });

  it("finds nothing of the sort when the bytes are others", () => {
    expect(network.once(ALICE, login(target), "read -P 0x5b 0 4M")).toMatchObject({ ok: false });
  });

  it("refuses a wrong secret, and no secret", () => {
    const wrong = network.once(ALICE, { ...login(target), secret: "wrong-horse-001" }, READ);
    expect(wrong).toMatchObject({ ok: false, said: expect.stringMatching(/failed/i) });
    expect(network.once(ALICE, { iqn: target.iqn }, READ)).toMatchObject({ ok: false });
  });

  it("refuses the right name and secret from a wrong address", () => {
    const initiator = "iqn.2026-11.org.ingot:node-alice";
    expect(network.once(ALICE, { ...login(target), initiator }, READ)).toMatchObject({ ok: true });
    expect(network.once(BOB, { ...login(target), initiator }, READ)).toMatchObject({ ok: false });
  });

  it("refuses a foreign name at the right address that does not know the secret", () => {
    const stranger = { ...login(target), initiator: "iqn.2026-11.org.stranger:x", secret: "guess-the-horse" };
    expect(network.once(ALICE, stranger, READ)).toMatchObject({ ok: false });
  });

  it("refuses another disk's account", async () => {
    const other = disk("disk-other");
    await targets.ensureTarget(CONTROL, other, signal);
    expect(network.once(ALICE, { ...login(other), iqn: target.iqn }, READ)).toMatchObject({ ok: false });
    expect(network.once(ALICE, login(other), READ)).toMatchObject({ ok: true });
  });

  it("proves itself with mutual CHAP, by the reverse secret only", async () => {
    const reverse = { user: "disk-mutual-1r", secret: "reverse-horse-1" };
    const mutual = disk("disk-mutual");
    mutual.chap = { ...mutual.chap, reverse };
    await targets.ensureTarget(CONTROL, mutual, signal);
    expect(network.inquire(ALICE, login(mutual), SERIAL_NUMBER)).toMatchObject({
      ok: true,
      said: expect.stringContaining("disk-mutual"),
    });
    const doubting = { ...login(mutual), reverse: { ...reverse, secret: "another-horse-1" } };
    expect(network.inquire(ALICE, doubting, SERIAL_NUMBER)).toMatchObject({ ok: false });
    expect((await state(mutual))?.accounts).toEqual(["disk-mutual-1", "disk-mutual-1r"]);
  });

  it("serves nobody an account's target that lost its rule", async () => {
    const shut = disk("disk-shut");
    await targets.ensureTarget(CONTROL, shut, signal);
    await targets.ensureTarget(CONTROL, { ...shut, openTo: BOB.address }, signal);
    expect(network.once(ALICE, login(shut), READ)).toMatchObject({ ok: false });
    expect(network.once(BOB, login(shut), READ)).toMatchObject({ ok: true });
  });
});

describe("a target that is open to a name", () => {
  const initiator = "iqn.2026-11.org.ingot:node-named";
  const target: TargetSpec = { ...disk("disk-named"), openTo: initiator };
  beforeAll(() => targets.ensureTarget(CONTROL, target, signal));

  it("lets that name in from any address, and no other name", () => {
    expect(network.once(ALICE, { ...login(target), initiator }, READ)).toMatchObject({ ok: true });
    expect(network.once(BOB, { ...login(target), initiator }, READ)).toMatchObject({ ok: true });
    const other = { ...login(target), initiator: "iqn.2026-11.org.ingot:node-other" };
    expect(network.once(ALICE, other, READ)).toMatchObject({ ok: false });
    expect(network.once(ALICE, { iqn: target.iqn, initiator }, READ)).toMatchObject({ ok: false });
  });

  it("cuts the session of another name when the name changes, and keeps its own", async () => {
    const session = open(ALICE, { ...login(target), initiator });
    await session.command(READ);
    const before = (await state(target))!.sessions.map((one) => one.id);
    await targets.ensureTarget(CONTROL, target, signal);
    expect((await state(target))!.sessions.map((one) => one.id)).toEqual(before);
    const next = { ...target, openTo: "iqn.2026-11.org.ingot:node-next" };
    await targets.ensureTarget(CONTROL, next, signal);
    const after = (await state(target))!;
    expect(after.openTo).toEqual([next.openTo]);
    expect(after.sessions.filter(({ id }) => before.includes(id))).toEqual([]);
    expect(network.once(ALICE, { ...login(target), initiator }, READ)).toMatchObject({ ok: false });
  });
});

describe("a live session", () => {
  it("is listed with initiator, address and bytes", async () => {
    const target = disk("disk-listed");
    await targets.ensureTarget(CONTROL, target, signal);
    const session = open(ALICE, { ...login(target), initiator: "iqn.2026-11.org.ingot:node-1" });
    await session.command("read 0 3M");
    await session.command("write -P 1 1M 1M");
    const [seen] = (await state(target))!.sessions;
    expect(seen).toMatchObject({
      initiator: "iqn.2026-11.org.ingot:node-1",
      addresses: [ALICE.address],
      writtenBytes: MIB,
    });
    expect(seen!.readBytes).toBeGreaterThanOrEqual(3 * MIB);
    expect(seen!.readBytes).toBeLessThan(3.1 * MIB);
  });

  it("does not notice that its target is ensured again", async () => {
    const target = disk("disk-adopted");
    await targets.ensureTarget(CONTROL, target, signal);
    const session = open(ALICE, login(target));
    await session.command(READ);
    const before = (await state(target))!.sessions.map((one) => one.id);
    await milliseconds("ensureTarget, nothing to do", () => targets.ensureTarget(CONTROL, target, signal));
    await targets.ensurePortals(CONTROL, [ALICE.portal, BOB.portal], [], signal);
    expect(await session.command(READ)).toMatch(/^read /);
    expect((await state(target))!.sessions.map((one) => one.id)).toEqual(before);
  });

  it("ends when the attachment changes, and the old account lets nobody in", async () => {
    const target = disk("disk-handed-on");
    await targets.ensureTarget(CONTROL, target, signal);
    await open(ALICE, login(target)).command(READ);
    const next = { ...target, chap: { user: "disk-handed-on-2", secret: "second-horse-22" } };
    await targets.ensureTarget(CONTROL, next, signal);
    expect((await state(target))!.accounts).toEqual(["disk-handed-on-2"]);
    expect(network.once(ALICE, login(target), READ)).toMatchObject({ ok: false });
    expect(network.once(ALICE, login(next), READ)).toMatchObject({ ok: true });
  });

  it("is cut by the target's removal while it writes, and leaves nothing behind", async () => {
    const target = disk("disk-removed");
    await targets.ensureTarget(CONTROL, target, signal);
    const writers = [0, 1].map(() => open(ALICE, login(target)));
    for (const writer of writers) await writer.command("write 0 64k");
    for (const writer of writers) void writer.repeat("write 0 1M", signal);
    await until("both write", async () => (await state(target))!.sessions.every((one) => one.writtenBytes! > 4 * MIB));
    await milliseconds("removeTarget, two sessions writing", () => targets.removeTarget(CONTROL, target.iqn, signal));
    expect(await state(target)).toBeUndefined();
    const accounts = await ask(CONTROL, { mode: "account", operation: "show" }, signal);
    expect(accounts).not.toContain("disk-removed");
    await targets.removeTarget(CONTROL, target.iqn, signal);
  });

  it("makes UNMAP a hole in the disk's file", async () => {
    const target = disk("disk-thin");
    backingOf(target).unmap = true;
    await targets.ensureTarget(CONTROL, target, signal);
    const used = () => statSync(backingOf(target).path).blocks * 512;
    expect(used()).toBeGreaterThanOrEqual(4 * MIB);
    expect(network.once(ALICE, login(target), "discard 0 4M")).toMatchObject({ ok: true });
    expect(used()).toBeLessThan(MIB);
    expect(readFileSync(backingOf(target).path).every((byte) => byte === 0)).toBe(true);
  });
});

describe("what an interrupted attempt left", () => {
  it("is taken over: a target without disk and rules, an account with another secret", async () => {
    const target = disk("disk-half");
    const { user } = target.chap;
    await ask(CONTROL, { mode: "target", operation: "new", tid: 7, parameters: { targetname: target.iqn } }, signal);
    await ask(
      CONTROL,
      { mode: "account", operation: "new", parameters: { user, password: "forgotten-horse" } },
      signal,
    );
    await targets.ensureTarget(CONTROL, target, signal);
    expect(network.once(ALICE, login(target), READ)).toMatchObject({ ok: true });
  });

  it("is removed: an account that no target uses", async () => {
    const parameters = { user: "disk-orphan-1", password: "orphaned-horse" };
    await ask(CONTROL, { mode: "account", operation: "new", parameters }, signal);
    await targets.removeTarget(CONTROL, targetIqn("app-test", "disk-orphan"), signal);
    expect(await ask(CONTROL, { mode: "account", operation: "show" }, signal)).not.toContain("disk-orphan");
  });

  it("is replaced: rules for everybody and by name, two accounts", async () => {
    const target = disk("disk-open");
    const tid = 8;
    await ask(CONTROL, { mode: "target", operation: "new", tid, parameters: { targetname: target.iqn } }, signal);
    for (const user of ["open-1", "open-2"]) {
      await ask(
        CONTROL,
        { mode: "account", operation: "new", parameters: { user, password: "foreign-horse-1" } },
        signal,
      );
      await ask(CONTROL, { mode: "account", operation: "bind", tid, parameters: { user } }, signal);
    }
    await ask(CONTROL, { mode: "target", operation: "bind", tid, parameters: { "initiator-address": "ALL" } }, signal);
    await ask(CONTROL, { mode: "target", operation: "bind", tid, parameters: { "initiator-name": "iqn.x" } }, signal);
    await targets.ensureTarget(CONTROL, target, signal);
    expect(await state(target)).toMatchObject({ openTo: [ALICE.address], accounts: [target.chap.user] });
    expect(network.once(BOB, login(target), READ)).toMatchObject({ ok: false });
    expect(network.once(ALICE, login(target), READ)).toMatchObject({ ok: true });
  });
});

describe("refusals", () => {
  it("names the account that another attachment has", async () => {
    const [one, two] = [disk("disk-one"), disk("disk-two")];
    await targets.ensureTarget(CONTROL, one, signal);
    const clash = targets.ensureTarget(CONTROL, { ...two, chap: one.chap }, signal);
    await expect(clash).rejects.toMatchObject({
      code: "CONFLICT",
      details: { field: "chap.user", value: one.chap.user },
    });
    expect(network.once(ALICE, login(one), READ)).toMatchObject({ ok: true });
    expect(network.once(ALICE, { ...login(two), ...one.chap }, READ)).toMatchObject({ ok: false });
  });

  it("names the file that can't be opened", async () => {
    const target = disk("disk-nofile");
    rmSync(backingOf(target).path);
    await expect(targets.ensureTarget(CONTROL, target, signal)).rejects.toMatchObject({
      code: "DRIVER_FAILED",
      details: { driver: "tgt", path: backingOf(target).path },
    });
    await targets.removeTarget(CONTROL, target.iqn, signal);
  });

  it("takes no comma in a path", async () => {
    const target = disk("disk-comma");
    const [unit] = target.units;
    const trick = {
      ...target,
      units: [{ ...unit!, backing: { type: "file", path: "/dev/null,bstype=null" } as const }],
    };
    await expect(targets.ensureTarget(CONTROL, trick, signal)).rejects.toMatchObject({ code: "INVALID" });
    await targets.removeTarget(CONTROL, target.iqn, signal);
  });

  it("says that no daemon runs, and that trying again may help", async () => {
    const error = await targets.list(349, signal).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "UNAVAILABLE", retryable: true });
  });

  it("ends by its signal", async () => {
    await expect(targets.list(CONTROL, AbortSignal.abort())).rejects.toMatchObject({ code: "CANCELLED" });
  });
});

describe("portals", () => {
  it("are added and taken away, but for the loopback one", async () => {
    const target = disk("disk-portals");
    await targets.ensureTarget(CONTROL, { ...target, openTo: BOB.address }, signal);
    await targets.ensurePortals(CONTROL, [ALICE.portal], [], signal);
    expect(network.once(BOB, login(target), READ)).toMatchObject({ ok: false });
    await targets.ensurePortals(CONTROL, [ALICE.portal, BOB.portal], [], signal);
    expect(network.once(BOB, login(target), READ)).toMatchObject({ ok: true });
    expect(await ask(CONTROL, { mode: "portal", operation: "show" }, signal)).toContain("127.0.0.1:");
  });
});

describe("kill -9 of tgtd", () => {
  it("opens no portal of a daemon without the targets that are to be behind it", async () => {
    const [one, two] = [disk("disk-behind-1"), disk("disk-behind-2")];
    for (const target of [one, two]) await targets.ensureTarget(CONTROL, target, signal);
    const behind = [one.iqn, two.iqn];
    await targets.ensurePortals(CONTROL, [ALICE.portal, BOB.portal], behind, signal);
    await network.killTgtd();
    await network.startTgtd();
    await targets.ensureTarget(CONTROL, one, signal);
    const early = targets.ensurePortals(CONTROL, [ALICE.portal, BOB.portal], behind, signal);
    await expect(early).rejects.toMatchObject({ code: "UNAVAILABLE", retryable: true, details: { iqn: two.iqn } });
    expect(await ask(CONTROL, { mode: "portal", operation: "show" }, signal)).not.toContain(ALICE.portal.address);
    await targets.ensureTarget(CONTROL, two, signal);
    await targets.ensurePortals(CONTROL, [ALICE.portal, BOB.portal], behind, signal);
    expect(network.once(ALICE, login(one), READ)).toMatchObject({ ok: true });
  });

  it("ends a request of many parts where it happens: none of them meets the next daemon", async () => {
    const process = {};
    const show = () => ask(CONTROL, { mode: "target", operation: "show" }, signal, process);
    await show();
    await show();
    await network.killTgtd();
    await network.startTgtd();
    await expect(show()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await targets.ensurePortals(CONTROL, [ALICE.portal, BOB.portal], [], signal);
  });

  it("does not change the names by which nodes find their disks, and no two disks share one", async () => {
    const [one, two] = [disk("disk-named-1"), disk("disk-named-2")];
    const names = (target: TargetSpec) => network.inquire(ALICE, login(target), IDENTIFICATION);
    for (const target of [one, two]) await targets.ensureTarget(CONTROL, target, signal);
    const before = names(one);
    expect(before.ok).toBe(true);
    expect(names(two).said).not.toBe(before.said);
    await network.killTgtd();
    await network.startTgtd();
    for (const target of [two, one]) await targets.ensureTarget(CONTROL, target, signal);
    await targets.ensurePortals(CONTROL, [ALICE.portal, BOB.portal], [], signal);
    expect(names(one)).toEqual(before);
  });

  it("is mended by ensuring targets and then portals: a writing initiator goes on", async () => {
    const target = disk("disk-survivor");
    await targets.ensureTarget(CONTROL, target, signal);
    const session = open(ALICE, login(target));
    await session.command("write -P 1 0 1M");
    await network.killTgtd();
    const write = session.command("write -P 2 1M 1M");
    await network.startTgtd();
    await targets.ensureTarget(CONTROL, target, signal);
    await targets.ensurePortals(CONTROL, [ALICE.portal, BOB.portal], [], signal);
    expect(await write).toMatch(/^wrote 1048576/);
    expect(await session.command("read -P 1 0 1M")).toMatch(/^read /);
    expect(await session.command("read -P 2 1M 1M")).toMatch(/^read /);
  });
});
