/**
 * How a dead OS is told from a living one: a real tgtd and two initiators that send nothing by themselves, each in a
 * network namespace of its own. One lives on; the other's machine is gone from one moment to the next.
 *
 * The portals' side is looked at from inside, and from a namespace beside it.
 *
 *   ar-dead 10.93.1.10 ---- 10.93.1.1 ar-srv 10.93.2.1 ---- 10.93.2.10 ar-live
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { tgtdArguments } from "../../src/drivers/targets/tgt-daemon.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import type { TcpPeer } from "../../src/net/tcp-peers.ts";
import { parseIpv4 } from "../../src/values/ipv4.ts";
import { targetIqn } from "../../src/values/iqn.ts";
import { withPortalSockets } from "../lab/isolated-portals.ts";
import { ip, Lines, Namespaces } from "./namespaces.ts";
import { until } from "./until.ts";

const CONTROL = 443;
const SERVER = "ar-srv";
const ELSEWHERE = "ar-else";
const MACHINES = ["dead", "live"].map((name, index) => ({
  namespace: `ar-${name}`,
  iqn: targetIqn("app-test", `disk-${name}`),
  address: parseIpv4(`10.93.${index + 1}.10`),
  portal: { address: parseIpv4(`10.93.${index + 1}.1`), port: 3260 },
  chap: { user: `disk-${name}-1`, secret: "correct-horse-1" },
}));
const [DEAD, LIVE] = MACHINES as [(typeof MACHINES)[0], (typeof MACHINES)[0]];
/** After so long without a word its OS is taken for dead. */
const SILENCE_MS = 12_000;

const signal = AbortSignal.timeout(170_000);
const directory = mkdtempSync(join(tmpdir(), "ingot-silent-"));
const programs = resolve(import.meta.dirname, "programs");
const targets = createTgtServer();
const children: ChildProcess[] = [];
let namespaces: Namespaces;
/** In the namespace of the portals; elsewhere, with a socket in theirs; and elsewhere without one. */
let watchers: Record<"there" | "apart" | "blind", Watcher>;

type Watcher = { ask: () => void; lines: Lines };
type View = { isApart: boolean; open: string[]; peers: TcpPeer[] };

beforeAll(async () => {
  namespaces = new Namespaces(SERVER, ELSEWHERE, DEAD.namespace, LIVE.namespace);
  for (const { namespace, address, portal } of MACHINES) {
    namespaces.cable(
      { namespace: SERVER, interface: namespace, addresses: [`${portal.address}/24`] },
      { namespace, interface: "eth0", addresses: [`${address}/24`] },
    );
  }
  namespaces.start(SERVER, ["tgtd", ...tgtdArguments({ control: CONTROL, loopbackPort: 24430 })], { stdio: "ignore" });
  await until("tgtd answers", () =>
    targets.list(CONTROL, AbortSignal.timeout(1000)).then(
      () => true,
      () => false,
    ),
  );
  for (const { namespace, iqn, address, chap } of MACHINES) {
    const path = join(directory, `${namespace}.raw`);
    writeFileSync(path, Buffer.alloc(1024 ** 2));
    const units = [{ lun: 1, disk: namespace, backing: { type: "file", path }, readOnly: false } as const];
    await targets.ensureTarget(CONTROL, { iqn, units: [...units], openTo: address, chap }, signal);
  }
  await targets.ensurePortals(
    CONTROL,
    MACHINES.map(({ portal }) => portal),
    MACHINES.map(({ iqn }) => iqn),
    signal,
  );
  const addresses = MACHINES.map(({ portal }) => portal.address);
  const watch = [process.execPath, join(programs, "watch-peers.ts"), "eth1", ...addresses];
  const fromElsewhere = ["nsenter", `--net=/run/netns/${ELSEWHERE}`, ...watch];
  watchers = {
    there: watcher(spawn("nsenter", [`--net=/run/netns/${SERVER}`, ...watch])),
    apart: watcher(spawn("env", withPortalSockets([SERVER], ["eth1"], fromElsewhere).slice(1))),
    blind: watcher(spawn("nsenter", fromElsewhere.slice(1))),
  };
  for (const { namespace, iqn, portal, chap } of MACHINES) {
    const place = [portal.address, String(portal.port), iqn, chap.user, chap.secret];
    const holder = namespaces.start(namespace, [process.execPath, join(programs, "hold-session.ts"), ...place]);
    await new Lines(holder).next(/logged in/);
  }
}, 60_000);

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await namespaces?.remove();
  for (const end of ["", ".lock"]) rmSync(`/var/run/tgtd/socket.${CONTROL}${end}`, { force: true });
  rmSync(directory, { recursive: true });
});

function watcher(child: ChildProcess): Watcher {
  children.push(child);
  return { ask: () => child.stdin?.write("\n"), lines: new Lines(child) };
}

async function view({ ask, lines }: Watcher): Promise<View> {
  ask();
  return JSON.parse(await lines.next(/^\{/)) as View;
}

/** For how long each machine was silent, as the kernel at the portals' side counts. */
async function silence(from: Watcher = watchers.there): Promise<Map<string, number>> {
  const { peers } = await view(from);
  return new Map(peers.map(({ remote, silentMs }) => [remote, silentMs]));
}

async function sessionsOf({ iqn }: { iqn: string }): Promise<string[]> {
  const state = (await targets.list(CONTROL, signal)).find((one) => one.iqn === iqn);
  return state?.sessions.map(({ id }) => id) ?? [];
}

it("hears the same from another network namespace through a socket, and knows that it hears nothing without", async () => {
  const open = MACHINES.map(({ portal }) => `${portal.address}:3260`);
  const heard = [DEAD.address, LIVE.address];
  const there = await view(watchers.there);
  expect(there).toMatchObject({ isApart: false, open });
  expect(there.peers.map(({ remote }) => remote).toSorted()).toEqual(heard);
  // the same socket serves again and again
  for (let time = 0; time < 3; time++) {
    const apart = await view(watchers.apart);
    expect(apart).toMatchObject({ isApart: true, open });
    expect(apart.peers.map(({ remote }) => remote).toSorted()).toEqual(heard);
  }
  expect(await view(watchers.blind)).toEqual({ isApart: false, open: [], peers: [] });
});

it("hears a living initiator that has nothing to say, and a dead one no more", { timeout: 60_000 }, async () => {
  ip("-n", DEAD.namespace, "link", "set", "eth0", "down");
  let longest = 0;
  await until(
    "the dead one was silent for long",
    async () => {
      const silent = await silence();
      longest = Math.max(longest, silent.get(LIVE.address) ?? Number.POSITIVE_INFINITY);
      return (silent.get(DEAD.address) ?? 0) > 2 * SILENCE_MS;
    },
    45_000,
  );
  expect(longest).toBeLessThan(SILENCE_MS / 2);
  // to tgtd itself both are the same
  expect(await sessionsOf(DEAD)).toHaveLength(1);
  expect(await sessionsOf(LIVE)).toHaveLength(1);
});

it("cuts the dead one's session, and no other", async () => {
  const before = await sessionsOf(LIVE);
  await targets.cutSessions(CONTROL, DEAD.iqn, await sessionsOf(DEAD), signal);
  await targets.cutSessions(CONTROL, LIVE.iqn, ["4711"], signal);
  await targets.cutSessions(CONTROL, "iqn.2026-11.org.ingot:nobody:knows", ["1"], signal);
  expect(await sessionsOf(DEAD)).toEqual([]);
  expect(await sessionsOf(LIVE)).toEqual(before);
  await until("its connection is gone too", async () => !(await silence()).has(DEAD.address));
});
