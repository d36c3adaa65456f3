import { describe, expect, it } from "vitest";
import { decodeTgtResponse, encodeTgtRequest } from "../../../src/drivers/targets/tgt-wire.ts";

describe("a request to tgtd", () => {
  it("is what tgtadm 1.0.85 sends for `--mode target --op stat --tid 5`", () => {
    // Captured from tgtadm's write(2).
    const captured = Buffer.alloc(120);
    captured.set([1, 0, 0, 0, 6, 0, 0, 0], 0);
    captured.write("iscsi", 8);
    captured.set([0x78, 0, 0, 0, 5, 0, 0, 0], 72);
    captured.fill(0xff, 88, 96);
    expect(encodeTgtRequest({ mode: "target", operation: "stat", tid: 5 })).toEqual(captured);
  });

  it("carries parameters behind the record, ended by NUL and counted in the length", () => {
    const parameters = { path: "/pool/disks/d.raw", bstype: "rdwr" };
    const bytes = encodeTgtRequest({ mode: "unit", operation: "new", tid: 1, lun: 1, parameters });
    expect(bytes.toString("latin1", 120)).toBe("path=/pool/disks/d.raw,bstype=rdwr\0");
    expect(bytes.readUInt32LE(72)).toBe(bytes.length);
    expect(bytes.readBigUInt64LE(88)).toBe(1n);
  });

  it("puts session, connection and account direction in their places", () => {
    const bytes = encodeTgtRequest({ mode: "connection", operation: "delete", tid: 2, session: 513, connection: 3 });
    expect([bytes.readInt32LE(76), bytes.readBigUInt64LE(80), bytes.readUInt32LE(96)]).toEqual([2, 513n, 3]);
    const account = { mode: "account", operation: "bind", tid: 1, parameters: { user: "u" } } as const;
    const direction = (bytes: Buffer) => bytes.readUInt32LE(108);
    expect(direction(encodeTgtRequest({ ...account, direction: "outgoing" }))).toBe(1);
    expect(direction(encodeTgtRequest({ ...account, direction: "incoming" }))).toBe(0);
  });

  it("says -1 where it means all targets", () => {
    expect(encodeTgtRequest({ mode: "target", operation: "show" }).readInt32LE(76)).toBe(-1);
  });
});

describe("a response of tgtd", () => {
  const whole = Buffer.concat([Buffer.from([0, 0, 0, 0, 18, 0, 0, 0]), Buffer.from("Target 1:\0")]);

  it("is waited for until its last byte", () => {
    for (let length = 0; length < whole.length; length++) {
      expect(decodeTgtResponse(whole.subarray(0, length))).toBeUndefined();
    }
    expect(decodeTgtResponse(whole)).toEqual({ error: 0, text: "Target 1:" });
  });

  it("may be an error without text", () => {
    expect(decodeTgtResponse(Buffer.from([4, 0, 0, 0, 8, 0, 0, 0]))).toEqual({ error: 4, text: "" });
  });
});
