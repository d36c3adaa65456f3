import { expect, it } from "vitest";
import { checkSchedule, isDue, scheduledName, surplus, taken } from "../../../src/disks/snapshot-schedule.ts";
import type { ImageRecord } from "../../../src/images/image.ts";
import { parseName } from "../../../src/values/name.ts";

const HOUR_MS = 3_600_000;
const hourly = { everySeconds: 3600, keep: 2 };
const at = Date.UTC(2026, 10, 27, 19, 5);

it("is due at once, then every so often, and once for all that were missed", () => {
  expect(isDue(hourly, at)).toBe(true);
  const first = taken(hourly, at);
  expect([isDue(first, at + HOUR_MS - 1), isDue(first, at + HOUR_MS)]).toEqual([false, true]);
  const late = at + 5 * HOUR_MS + 600_000;
  const caughtUp = taken(first, late);
  expect(caughtUp.lastAt).toBe(at + 5 * HOUR_MS);
  expect([isDue(caughtUp, late), isDue(caughtUp, at + 6 * HOUR_MS)]).toEqual([false, true]);
});

it("tries one that failed again after ten minutes", () => {
  const failed = { ...hourly, lastAt: at - HOUR_MS, failure: { at, message: "no room" } };
  expect([isDue(failed, at + 599_999), isDue(failed, at + 600_000)]).toEqual([false, true]);
  expect(taken(failed, at)).not.toHaveProperty("failure");
});

it("is due within twice its time, whatever the clock was set back by", () => {
  const ahead = { ...hourly, lastAt: at + 100 * HOUR_MS };
  expect(isDue(ahead, at)).toBe(true);
  expect(taken(ahead, at).lastAt).toBe(at);
  // a little is no reason for another one
  expect(isDue({ ...hourly, lastAt: at + 1000 }, at)).toBe(false);
  const failed = { ...hourly, failure: { at: at + 100 * HOUR_MS, message: "no room" } };
  expect(isDue(failed, at)).toBe(true);
});

it("names snapshots after disk and moment, in UTC", () => {
  expect(scheduledName("web", at)).toBe("web-20261127-1905");
  const long = scheduledName(`${"a".repeat(45)}--${"b".repeat(16)}`, at);
  expect(parseName(long)).toBe(long);
});

const image = (id: string, createdAt: number, origin: Partial<ImageRecord["origin"]> = {}, ready = true) =>
  ({
    id,
    project: "default",
    createdAt,
    ready,
    origin: { kind: "snapshot", disk: "disk-1", clean: false, scheduled: true, ...origin },
  }) as ImageRecord;

it("counts only a disk's own scheduled snapshots that are whole", () => {
  const images = [
    image("old", 1),
    image("new", 3),
    image("by-hand", 0, { scheduled: false } as object),
    image("of-another", 0, { disk: "disk-2" } as object),
    image("unfinished", 0, {}, false),
    { ...image("given-away", 0), project: "lab" },
    image("middle", 2),
  ];
  expect(surplus(images, { id: "disk-1", project: "default" }, 2, at).map(({ id }) => id)).toEqual(["old"]);
});

it("keeps what was taken since the clock was set back, rather than what is from a time to come", () => {
  const images = [image("ahead", at + 2), image("far-ahead", at + 3), image("new", at), image("old", at - 1)];
  const disk = { id: "disk-1", project: "default" };
  expect(surplus(images, disk, 2, at).map(({ id }) => id)).toEqual(["far-ahead", "ahead"]);
});

it.each([
  [{ everySeconds: 299, keep: 1 }, "everySeconds"],
  [{ everySeconds: 367 * 86_400, keep: 1 }, "everySeconds"],
  [{ everySeconds: 3600, keep: 0 }, "keep"],
  [{ everySeconds: 3600, keep: 1001 }, "keep"],
])("refuses %j", (schedule, field) => {
  expect(() => checkSchedule(schedule)).toThrow(
    expect.objectContaining({ code: "INVALID", details: expect.objectContaining({ field }) }),
  );
});
