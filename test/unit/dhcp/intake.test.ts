import { describe, expect, it } from "vitest";
import { Intake } from "../../../src/dhcp/intake.ts";
import { PacketLog } from "../../../src/dhcp/packet-log.ts";
import { createLog } from "../../../src/log.ts";
import { Quota } from "../../../src/net/quota.ts";
import { formatMac, type Mac, macBytes } from "../../../src/values/mac.ts";
import { TurnedClock } from "../leases/world.ts";

const NODE = "0a:00:00:00:00:01" as Mac;
const FROM = { address: "0.0.0.0", port: 68, family: "IPv4" as const, size: 300 };

function world() {
  const clock = new TurnedClock();
  const served: Mac[] = [];
  const dropped = { limited: [] as Mac[], shed: [] as Mac[] };
  const intake = new Intake({
    serve: (bytes) => served.push(formatMac(bytes.subarray(28))),
    isNode: (mac) => mac.startsWith("0a:"),
    onDropped: (why, mac) => dropped[why].push(mac),
    clock,
  });
  const take = (mac: Mac) => {
    const bytes = Buffer.alloc(300);
    macBytes(mac).copy(bytes, 28);
    intake.take(bytes, FROM);
  };
  let invented = 0;
  /** Datagrams of so many machines that were never seen before. */
  const strangers = (count: number) => {
    for (let index = 0; index < count; index++)
      take(formatMac(Buffer.from(`02000000${(++invented).toString(16).padStart(4, "0")}`, "hex")));
  };
  const turn = async () => {
    served.length = 0;
    await new Promise((resolve) => setImmediate(resolve));
    return served.length;
  };
  return { clock, intake, served, dropped, take, strangers, turn };
}

describe("the intake", () => {
  it.each([
    ["stranger", "02:00:00:00:00:", 30],
    ["node", "0a:00:00:00:00:", 300],
  ])("limits a %s that sends too many, and no other", (_, prefix, most) => {
    const { take, intake, served, dropped, clock } = world();
    const [one, other] = [`${prefix}01`, `${prefix}02`] as [Mac, Mac];
    for (let index = 0; index < most + 10; index++) take(one);
    take(other);
    clock.turn(10);
    take(one);
    intake.drain();
    expect([served.length, dropped.limited.length, dropped.shed.length]).toEqual([most + 2, 10, 0]);
  });

  it("reads on while there is more to read, then serves what waits, a burst in full", async () => {
    const { strangers, turn, intake, dropped } = world();
    for (let index = 0; index < 10; index++) {
      strangers(32);
      expect(await turn()).toBe(2);
    }
    strangers(31);
    expect(await turn()).toBe(32);
    while (intake.queued > 0) await turn();
    expect(dropped.shed).toEqual([]);
  });

  it("serves nodes in the turn that reads them, whatever waits before them; strangers beyond the queue are shed", async () => {
    const { strangers, turn, take, served, intake, dropped } = world();
    for (let index = 0; index < 100; index++) {
      strangers(31);
      take(`0a:00:00:00:01:${index.toString(16).padStart(2, "0")}` as Mac);
      expect(await turn()).toBe(3);
      expect(served[0]).toMatch(/^0a:/);
    }
    expect(intake.queued).toBeLessThanOrEqual(1024);
    expect(dropped.shed.length).toBe(3100 - 200 - intake.queued);
  });
});

it("a quota counts a bounded number of keys", () => {
  const quota = new Quota({ most: 1, windowMs: 1000 });
  expect([quota.take("a", 0), quota.take("a", 1)]).toEqual([true, false]);
  for (let index = 0; index < 10_000; index++) quota.take(`key ${index}`, 2);
  expect(quota.take("a", 3)).toBe(true);
});

describe("the packet log", () => {
  it("stays bounded, counts what it leaves out, and tells drops once a minute", () => {
    const clock = new TurnedClock();
    const lines: Record<string, unknown>[] = [];
    const told = new PacketLog(createLog("info", { write: (line) => void lines.push(JSON.parse(line)) }), clock);
    for (let index = 0; index < 1500; index++) told.packet("info", { index }, "dhcp: bound");
    told.packet("debug", {}, "dhcp: offered");
    expect(lines.length).toBe(1000);
    clock.turn(10);
    told.packet("info", {}, "dhcp: bound");
    expect(lines.at(-1)).toMatchObject({ untold: 500, msg: "dhcp: bound" });

    const drops = { limited: 1, shed: 0, dropped: 0 };
    told.drop(drops, NODE);
    told.drop({ ...drops, limited: 2 }, NODE);
    expect(lines.length).toBe(1002);
    clock.turn(60);
    told.drop({ ...drops, limited: 7, shed: 100 }, NODE);
    expect(lines.at(-1)).toMatchObject({ limited: 6, shed: 100, dropped: 0, mac: NODE });
  });
});
