import { describe, expect, it } from "vitest";
import { acceptOptions } from "../../../../src/wire/tftp/options.ts";

const accept = (asked: Record<string, string>, mtu = 1500) =>
  acceptOptions(new Map(Object.entries(asked)), 100_000, mtu);

describe("the answer to a request's options", () => {
  it("is RFC 1350 when nothing is asked", () => {
    expect(accept({})).toEqual({ blockBytes: 512, windowBlocks: 1, timeoutSeconds: undefined, accepted: new Map() });
  });

  it.each([
    // asked, MTU, answered (undefined: left out of the OACK)
    ["8", 1500, "8"],
    ["512", 1500, "512"],
    ["1456", 1500, "1456"],
    ["1468", 1500, "1468"],
    ["1469", 1500, "1468"],
    ["8192", 1500, "1468"],
    ["8192", 9000, "8192"],
    ["65464", 65536, "65464"],
    ["70000", 65536, "65464"],
    ["1024", 300, "512"],
    ["7", 1500, undefined],
    ["0", 1500, undefined],
    ["-5", 1500, undefined],
    ["1e3", 1500, undefined],
    ["", 1500, undefined],
    ["99999999999", 1500, undefined],
  ])("blksize %s at MTU %i is %s", (asked, mtu, answer) => {
    const terms = accept({ blksize: asked }, mtu);
    expect(terms.accepted.get("blksize")).toBe(answer);
    expect(terms.blockBytes).toBe(Number(answer ?? 512));
  });

  it.each([
    ["1", "512", "1"],
    ["16", "1468", "16"],
    ["64", "1468", "64"],
    ["65535", "1468", "89"], // 128 KiB in flight
    ["65535", "8", "16384"],
    ["0", "1468", undefined],
    ["x", "1468", undefined],
  ])("windowsize %s with blocks of %s bytes is %s", (asked, blksize, answer) => {
    const terms = accept({ windowsize: asked, blksize });
    expect(terms.accepted.get("windowsize")).toBe(answer);
    expect(terms.windowBlocks).toBe(Number(answer ?? 1));
  });

  it("allows at least one block in flight, however large", () => {
    expect(accept({ windowsize: "4", blksize: "65464" }, 65536).windowBlocks).toBe(2);
  });

  it.each([
    ["1", 1],
    ["255", 255],
    ["0", undefined],
    ["256", undefined],
  ])("timeout %s is granted as it is or not at all (RFC 2349)", (asked, seconds) => {
    const terms = accept({ timeout: asked });
    expect(terms.timeoutSeconds).toBe(seconds);
    expect(terms.accepted.get("timeout")).toBe(seconds === undefined ? undefined : asked);
  });

  it("tells the size, keeps the client's order, and leaves out what it does not know", () => {
    const { accepted } = accept({ utimeout: "5", tsize: "0", blksize: "1024", rollover: "0", multicast: "" });
    expect([...accepted]).toEqual([
      ["tsize", "100000"],
      ["blksize", "1024"],
    ]);
  });
});
