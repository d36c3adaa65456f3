import { expect, it } from "vitest";
import type { TargetState } from "../../../src/drivers/targets/target-server.ts";
import { DiskTraffic } from "../../../src/operations/disk-traffic.ts";

function state(sessions: Record<string, [read: number, written: number]>): TargetState[] {
  const rows = Object.entries(sessions).map(([id, [readBytes, writtenBytes]]) => {
    return { id, initiator: "iqn.i", addresses: [], readBytes, writtenBytes };
  });
  return [{ iqn: "iqn.t", units: [], writeThrough: true, openTo: [], accounts: [], sessions: rows }];
}

it("counts a node's sessions together, those that are over included", () => {
  const traffic = new DiskTraffic();
  expect(traffic.of("iqn.t")).toEqual({ readBytes: 0, writtenBytes: 0 });
  traffic.record(state({ 1: [100, 0] }));
  traffic.record(state({ 1: [150, 0], 2: [10, 1] }));
  expect(traffic.of("iqn.t")).toEqual({ readBytes: 160, writtenBytes: 1 });
  traffic.record(state({ 2: [20, 5] }));
  traffic.record([]); // the daemon was killed
  traffic.record(state({ 1: [7, 7] })); // a new one counts anew
  expect(traffic.of("iqn.t")).toEqual({ readBytes: 177, writtenBytes: 12 });
  traffic.forget("iqn.t");
  expect(traffic.of("iqn.t")).toEqual({ readBytes: 0, writtenBytes: 0 });
});
