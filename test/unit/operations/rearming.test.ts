import { afterEach, describe, expect, it } from "vitest";
import type { BootEntry } from "../../../src/boot/boot-entry.ts";
import type { BootEvent } from "../../../src/boot/boot-event.ts";
import { ApplianceError } from "../../../src/errors.ts";
import type { TcpPeer } from "../../../src/net/tcp-peers.ts";
import type { Appliance } from "../../../src/operations/appliance.ts";
import { Rearming } from "../../../src/operations/rearming.ts";
import type { UnarmedRequest } from "../../../src/operations/unarmed-request.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import { MemoryPower } from "../../fakes/memory-power.ts";
import { bootEntry, MemoryRecords, mac } from "../boot/boot-fixtures.ts";

const MINUTE = 60_000;
const PORTAL = bootEntry().portals[0]!;
let stop: () => Promise<void> = async () => {};
afterEach(() => stop());

/** One node whose OS was up, in a world where a second lasts as long as a test wants. */
function world(changes: Partial<BootEntry> = {}, arming = "rearm") {
  const records = new MemoryRecords();
  const entries = records.collection<BootEntry>("bootEntries");
  const events: BootEvent[] = [];
  const warnings: string[] = [];
  const cuts: string[][] = [];
  const requests = new WeakMap<BootEntry, UnarmedRequest>();
  const power = new MemoryPower();
  let now = 100 * MINUTE;
  let asleep = () => {};
  let wake = () => {};
  const state = {
    peers: [] as TcpPeer[],
    sessions: [] as string[],
    sessionAddress: bootEntry().address as Ipv4,
    openSince: 0 as number | undefined,
    openPortals: new Set(["10.20.0.1:3260"]),
  };
  const appliance = {
    records,
    config: { arming, networks: [{ name: "rack1", tgtd: { control: 7 } }], operations: { bmcSeconds: 5 } },
    nodes: { findByMac: (one: string) => (one === mac ? { id: "node-1" } : undefined), get: () => ({ id: "node-1" }) },
    powerOf: () => power,
    lookAtPortals: () => ({ isApart: false, open: state.openPortals, peers: state.peers }),
    unarmedRequests: requests,
    bootEvents: (event: BootEvent) => events.push(event),
    targets: { cutSessions: async (_control: number, _iqn: string, ids: string[]) => void cuts.push(ids) },
    log: {
      warn: (_: object, text: string) => warnings.push(text),
      info: () => {},
      error: (_: object, text: string) => warnings.push(text),
    },
    clock: {
      now: () => now,
      sleep: (ms: number, signal?: AbortSignal) =>
        new Promise<void>((resolve) => {
          if (ms === 0) return resolve();
          wake = resolve;
          signal?.addEventListener("abort", () => resolve());
          asleep();
        }),
    },
  };
  const seen = {
    sessionsOf: () => state.sessions.map((id) => ({ id, initiator: "iqn.x", addresses: [state.sessionAddress] })),
    openSince: () => state.openSince,
  };
  const rearming = new Rearming(appliance as unknown as Appliance, seen);
  stop = () => rearming.stop();
  (entries as unknown as Map<string, object>).set("node-1", bootEntry({ disarmedAt: 10 * MINUTE, ...changes }));
  /** Begins a look, and lets it end. */
  const looked = (begin: () => void) =>
    new Promise<void>((resolve) => {
      asleep = resolve;
      begin();
    });
  return {
    state,
    events,
    warnings,
    cuts,
    request: () => {
      const entry = entries.get("node-1");
      return entry && requests.get(entry);
    },
    power,
    records,
    isArmed: () => entries.get("node-1")?.disarmedAt === undefined,
    remote: (silentMs: number, remote = bootEntry().address as Ipv4): TcpPeer => ({
      local: PORTAL.address,
      remote,
      silentMs,
    }),
    /** The first request, which begins a look. */
    asks: (stage: BootEvent["stage"] = "refused", more: Partial<BootEvent> = { reason: "unarmed" }) =>
      looked(() => rearming.onBootEvent({ mac, stage, at: now, ...more })),
    asksAgain: () => rearming.onBootEvent({ mac, stage: "refused", reason: "unarmed", at: now }),
    async passes(ms: number) {
      now += ms;
      await looked(() => wake());
    },
  };
}

describe("a node whose OS was up asks to boot", () => {
  it("and is armed at once when its OS was silent for 12 s, its half-open sessions cut", async () => {
    const { state, asks, remote, isArmed, cuts, request, passes } = world();
    Object.assign(state, { peers: [remote(12_500)], sessions: ["3", "4"] });
    await asks("dhcp-ipxe", {});
    expect(isArmed()).toBe(true);
    expect(cuts).toEqual([["3", "4"]]);
    await passes(1000);
    expect(request()).toBeUndefined();
  });

  it("and waits while it is too early to know", async () => {
    const { state, asks, remote, isArmed, cuts, request, passes, warnings } = world();
    state.peers = [remote(4000)];
    await asks("dhcp-firmware", {});
    state.peers = [remote(11_000)];
    await passes(7000);
    expect(isArmed()).toBe(false);
    expect(request()).toMatchObject({ times: 1, finding: expect.stringMatching(/1 s more of silence/) });
    state.peers = [remote(12_000)];
    await passes(1000);
    expect(isArmed()).toBe(true);
    expect(cuts).toEqual([]);
    expect(warnings).toEqual([]);
  });

  it("and waits while none of its portals is seen open: nobody would be heard there", async () => {
    const { state, asks, asksAgain, isArmed, request, passes } = world();
    state.openPortals = new Set();
    await asks();
    await passes(50_000);
    asksAgain();
    await passes(50_000);
    expect(isArmed()).toBe(false);
    expect(request()).toMatchObject({ remedy: "ingot doctor" });
    state.openPortals = new Set(["10.20.0.1:3260"]);
    await passes(1000);
    expect(isArmed()).toBe(true);
  });

  it("and is refused as long as its OS is heard, however long that takes, and reported once", async () => {
    const { state, asks, asksAgain, remote, isArmed, events, request, passes, warnings } = world();
    state.peers = [remote(1000)];
    await asks();
    for (let second = 0; second < 120; second += 2) {
      // what a living initiator's silence looks like: at most the daemon's pings apart
      state.peers = [remote((second % 5) * 1000)];
      await passes(2000);
      asksAgain();
      expect(isArmed()).toBe(false);
    }
    expect(warnings).toEqual(["somebody asks in the name of a running node"]);
    expect(events).toMatchObject([{ mac, stage: "refused", reason: "os-still-up" }]);
    expect(request()).toMatchObject({
      times: 61,
      remedy: expect.stringContaining("find the other machine"),
    });
  });

  it("and is not armed by a connection that breaks, but by 12 s without one", async () => {
    const { state, asks, remote, isArmed, passes } = world();
    state.peers = [remote(1000)];
    await asks();
    state.peers = [];
    await passes(9000);
    expect(isArmed()).toBe(false);
    state.peers = [remote(0)];
    await passes(1000);
    state.peers = [];
    await passes(11_000);
    expect(isArmed()).toBe(false);
    await passes(1000);
    expect(isArmed()).toBe(true);
  });

  it("and is not armed right after the target daemon came back", async () => {
    const { state, asks, asksAgain, isArmed, passes, request } = world();
    state.openSince = undefined;
    await asks();
    await passes(40_000);
    expect(isArmed()).toBe(false);
    expect(request()?.finding).toMatch(/target is not served/);
    asksAgain();
    state.openSince = 100 * MINUTE + 40_000;
    await passes(15_000);
    expect(isArmed()).toBe(false);
    await passes(15_000);
    expect(isArmed()).toBe(true);
  });

  it("is known by its session's address where we gave it none", async () => {
    const elsewhere = "10.9.9.9" as Ipv4;
    const { state, asks, remote, isArmed, passes } = world({ address: undefined } as unknown as Partial<BootEntry>);
    Object.assign(state, {
      sessions: ["1"],
      sessionAddress: elsewhere,
      peers: [remote(100, elsewhere), remote(90_000)],
    });
    await asks();
    await passes(30_000);
    expect(isArmed()).toBe(false);
  });

  it("and is told, once in the log, what keeps us from knowing", async () => {
    const { state, asks, isArmed, passes, request, warnings } = world();
    Object.defineProperty(state, "peers", {
      get: () => {
        throw new ApplianceError("UNAVAILABLE", "no table", { details: { remedy: "modprobe tcp_diag" } });
      },
    });
    await asks();
    await passes(20_000);
    expect(isArmed()).toBe(false);
    expect(request()).toMatchObject({ finding: "no table", remedy: "modprobe tcp_diag" });
    expect(warnings).toEqual(["can't tell which nodes are down"]);
  });

  it("is judged no longer once it stopped asking", async () => {
    const { state, asks, remote, isArmed, passes, request } = world();
    state.peers = [remote(100)];
    await asks();
    state.peers = [remote(60_000)];
    await passes(MINUTE + 1);
    expect(isArmed()).toBe(false);
    expect(request()?.finding).toMatch(/stopped asking/);
  });

  it("and its request is forgotten with its boot entry", async () => {
    const { state, asks, remote, passes, request, records } = world();
    state.peers = [remote(100)];
    await asks();
    await passes(MINUTE + 1);
    expect(request()).toBeDefined();
    const again = bootEntry({ disarmedAt: 20 * MINUTE });
    for (const value of [null, again]) await records.commit([{ collection: "bootEntries", key: "node-1", value }]);
    expect(request()).toBeUndefined();
  });

  it("does not bring back a boot entry that went meanwhile", async () => {
    const { state, asks, remote, records, passes } = world();
    state.peers = [remote(1000)];
    await asks();
    await records.commit([{ collection: "bootEntries", key: "node-1", value: null }]);
    state.peers = [remote(60_000)];
    await passes(13_000);
    expect(records.collection("bootEntries").size).toBe(0);
  });
});

describe("under `strict`", () => {
  it("silence arms nothing, the BMC's word does", async () => {
    const { state, asks, remote, isArmed, passes, request, power } = world({}, "strict");
    power.restartedAt = Date.now() - 95 * MINUTE;
    state.peers = [remote(60_000)];
    await asks();
    await passes(13_000);
    expect(isArmed()).toBe(false);
    expect(request()).toMatchObject({
      finding: "its BMC tells of no restart since its OS came up",
      remedy: "ingot node power node1 reset",
    });
    power.restartedAt = Date.now() - 5 * MINUTE;
    await passes(10_000);
    await passes(1000);
    expect(isArmed()).toBe(true);
  });

  it("says what to do where there is no BMC", async () => {
    const { asks, passes, isArmed, request, power } = world({}, "strict");
    power.sinceRestart = async () => {
      throw new Error("no BMC");
    };
    await asks();
    await passes(1000);
    await passes(1000);
    expect(isArmed()).toBe(false);
    expect(request()?.finding).not.toBe("its BMC is asked");
  });
});

it("judges nobody under `open`", () => {
  const { asksAgain, request } = world({}, "open");
  asksAgain();
  expect(request()).toBeUndefined();
});
