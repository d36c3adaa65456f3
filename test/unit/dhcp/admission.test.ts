import { describe, expect, it } from "vitest";
import { Admission } from "../../../src/dhcp/admission.ts";
import { PacketLog } from "../../../src/dhcp/packet-log.ts";
import { Quota } from "../../../src/dhcp/quota.ts";
import { createLog } from "../../../src/log.ts";
import type { Mac } from "../../../src/values/mac.ts";
import { TurnedClock } from "../leases/world.ts";

const NODE = "0a:00:00:00:00:01" as Mac;

function world() {
  const clock = new TurnedClock();
  const admission = new Admission((mac) => mac.startsWith("0a:"), clock);
  let invented = 0;
  const another = (kind: string) =>
    `${kind}:00:00:00:${(invented++ >> 8).toString(16)}:${invented.toString(16)}` as Mac;
  /** One turn of the event loop with datagrams of that many strangers and then one of a node. */
  const turn = async (strangers: number, seconds = 0.01) => {
    const seen = Array.from({ length: strangers }, () => admission.admit(another("02")));
    const node = admission.admit(another("0a"));
    await new Promise((resolve) => setImmediate(resolve));
    clock.turn(seconds);
    return { served: seen.filter((one) => one === "yes").length, node };
  };
  return { clock, admission, turn };
}

describe("admission", () => {
  it("limits a client that sends too many, and no other", () => {
    const { admission, clock } = world();
    const mine = Array.from({ length: 40 }, () => admission.admit(NODE));
    expect(mine.filter((one) => one === "limited").length).toBe(10);
    expect(admission.admit("0a:00:00:00:00:02" as Mac)).toBe("yes");
    clock.turn(10);
    expect(admission.admit(NODE)).toBe("yes");
  });

  it("serves everybody through a burst", async () => {
    const { turn } = world();
    for (let index = 0; index < 15; index++) expect((await turn(31)).served).toBe(31);
  });

  it("sheds strangers in a flood, never a node, and serves all again after it", async () => {
    const { turn } = world();
    for (let index = 0; index < 40; index++) await turn(31);
    const flooded = await turn(31);
    expect(flooded).toEqual({ served: 1, node: "yes" });
    // the flood still comes, but what comes is read at once now: a little more is tried
    for (let index = 0; index < 5; index++) await turn(3);
    expect((await turn(20)).served).toBeLessThanOrEqual(8);
    for (let index = 0; index < 32; index++) await turn(3);
    expect((await turn(20)).served).toBe(20);
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
