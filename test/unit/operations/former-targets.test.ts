import { afterEach, beforeEach, expect, it } from "vitest";
import type { Clock } from "../../../src/clock.ts";
import { ApplianceError, type ErrorDetails } from "../../../src/errors.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { refuseServedByFormer, releaseFormerTargets } from "../../../src/operations/former-targets.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import { targetIqn } from "../../../src/values/iqn.ts";
import { World } from "./world.ts";

const DISK = "disk-1";
const IQN = targetIqn("app-test", DISK);
const FORMER = targetIqn("app-lost", DISK);
const signal = new AbortController().signal;
let world: World;
let appliance: Appliance;
let now: number;
/** Since when the machine at the former target has been silent; undefined while it lives. */
let silentSince: number | undefined;
let openPortals: Set<string>;

beforeEach(async () => {
  world = new World();
  [now, silentSince, openPortals] = [1_000_000, undefined, new Set(["10.20.0.1:3260"])];
  const clock = {
    now: () => now,
    sleep: async (ms: number) => {
      now += ms;
    },
  } as Clock;
  const silentMs = () => (silentSince === undefined ? 100 : now - silentSince);
  const lookAtPortals = () => ({
    isApart: false,
    open: openPortals,
    peers: [{ local: "10.20.0.1" as Ipv4, remote: "10.0.0.1" as Ipv4, silentMs: silentMs() }],
  });
  appliance = { ...(await world.start()), clock, lookAtPortals };
  await world.targets.ensureTarget(1, {
    iqn: FORMER,
    units: [{ lun: 1, disk: DISK, backing: { type: "file", path: `/memory/disks/${DISK}` }, readOnly: false }],
    openTo: "10.0.0.1" as Ipv4,
    chap: { user: "u", secret: "secretsecret1" },
  });
  world.targets.login(FORMER);
});
afterEach(() => world.end());

const release = () => releaseFormerTargets(appliance, { disk: DISK, iqn: IQN }, signal);

it("leaves the target of a machine that lives, and says where that is", async () => {
  await expect(release()).rejects.toMatchObject({ code: "IN_USE", details: { iqn: FORMER, addresses: ["10.0.0.1"] } });
  expect(world.targets.targets.has(FORMER)).toBe(true);
});

it("leaves the target where no portal is seen open: its machine would not be heard", async () => {
  [silentSince, openPortals] = [0, new Set()];
  await expect(release()).rejects.toMatchObject({ code: "IN_USE" });
  expect(world.targets.targets.has(FORMER)).toBe(true);
});

it("takes the target away once its machine has been silent for long enough", async () => {
  silentSince = now - 3000;
  await release();
  expect(world.targets.targets.has(FORMER)).toBe(false);
  expect(now - 1_000_000).toBeGreaterThanOrEqual(12_000);
});

it("waits for a machine that may be on its way back to a target without sessions", async () => {
  world.targets.sessions.delete(FORMER);
  await release();
  expect(now - 1_000_000).toBeGreaterThanOrEqual(12_000);
});

it("has nothing to wait for where only its own target serves the disk", async () => {
  const spec = world.targets.targets.get(FORMER)!;
  await world.targets.removeTarget(1, FORMER);
  await world.targets.ensureTarget(1, { ...spec, iqn: IQN });
  await release();
  expect([now, world.targets.targets.has(IQN)]).toEqual([1_000_000, true]);
});

it("refuses what would change the disk under the machine", async () => {
  const disk = { id: DISK, name: "root" };
  await expect(refuseServedByFormer(appliance, disk, signal)).rejects.toMatchObject({
    code: "IN_USE",
    details: { iqn: FORMER },
  });
  await world.targets.removeTarget(1, FORMER);
  await refuseServedByFormer(appliance, disk, signal);
});

it("takes only a daemon that does not run for one that serves nothing", async () => {
  const disk = { id: DISK, name: "root" };
  const failWith = (details: ErrorDetails) => {
    world.targets.list = () => Promise.reject(new ApplianceError("UNAVAILABLE", "no answer", { details }));
  };
  failWith({ outage: true });
  await expect(refuseServedByFormer(appliance, disk, signal)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await expect(release()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  failWith({ outage: true, absent: true });
  await refuseServedByFormer(appliance, disk, signal);
  await release();
});
