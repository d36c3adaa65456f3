import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isApplianceError } from "../../../../src/errors.ts";
import { ipv4FromNumber } from "../../../../src/values/ipv4.ts";
import { decodeDhcp } from "../../../../src/wire/dhcp/decode.ts";
import { encodeDhcp } from "../../../../src/wire/dhcp/encode.ts";
import { formatDhcp } from "../../../../src/wire/dhcp/format.ts";
import type { DhcpMessage } from "../../../../src/wire/dhcp/message.ts";
import { dhcpPackets } from "../../../fixtures/dhcp-packets.ts";

const byte = fc.nat(255);
const address = fc.integer({ min: 0, max: 0xffffffff }).map(ipv4FromNumber);
const header = (maxLength: number) =>
  fc.uint8Array({ maxLength, min: 1 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const options = (maxValueBytes: number) =>
  fc
    .array(fc.tuple(fc.integer({ min: 1, max: 254 }), fc.uint8Array({ maxLength: maxValueBytes })), { maxLength: 12 })
    .map((entries) => new Map(entries.filter(([code]) => code !== 52)));

function messages(maxValueBytes: number): fc.Arbitrary<DhcpMessage> {
  return fc
    .record({
      op: fc.constantFrom("request" as const, "reply" as const),
      htype: byte,
      hops: byte,
      xid: fc.integer({ min: 0, max: 0xffffffff }),
      secs: fc.nat(0xffff),
      broadcast: fc.boolean(),
      ciaddr: address,
      yiaddr: address,
      siaddr: address,
      giaddr: address,
      chaddr: fc.uint8Array({ maxLength: 16 }),
      sname: fc.oneof(fc.constant(""), header(64)),
      file: fc.oneof(fc.constant(""), header(128)),
      options: options(maxValueBytes),
    })
    .map((fields) => ({ ...fields, hlen: fields.chaddr.length, dhcp: true }));
}

/** The message, or undefined after INVALID; anything else is thrown. */
function orInvalid<T>(attempt: () => T): T | undefined {
  try {
    return attempt();
  } catch (error) {
    if (isApplianceError(error, "INVALID")) return undefined;
    throw error;
  }
}

/** What is decoded can be shown and, given room, encoded and decoded to the same. */
function expectSound(bytes: Uint8Array): void {
  const message = orInvalid(() => decodeDhcp(bytes));
  if (!message) return;
  formatDhcp(message);
  expect(decodeDhcp(encodeDhcp(message, { maxBytes: 4 * 1024 + bytes.length * 2 }))).toEqual(message);
}

describe("the DHCP codec, for any", () => {
  it("message: decoding gives back what was encoded", () => {
    fc.assert(
      fc.property(messages(600), (message) => {
        expect(decodeDhcp(encodeDhcp(message, { maxBytes: 65_507 }))).toEqual(message);
      }),
    );
  });

  it("message and limit: it keeps the limit and all options, or refuses", () => {
    let overloaded = 0;
    fc.assert(
      fc.property(messages(80), fc.integer({ min: 300, max: 700 }), (message, maxBytes) => {
        const bytes = orInvalid(() => encodeDhcp(message, { maxBytes }));
        if (!bytes) return;
        if (encodeDhcp(message, { maxBytes: 65_507 }).length > maxBytes) overloaded++;
        expect(bytes.length).toBeLessThanOrEqual(maxBytes);
        expect(decodeDhcp(bytes)).toEqual(message);
      }),
      { numRuns: 1_000 },
    );
    expect(overloaded).toBeGreaterThan(0);
  });

  it("bytes at all", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 700 }), expectSound));
  });

  it("bytes behind a good header and cookie", () => {
    const start = dhcpPackets()[0]!.bytes.subarray(0, 240);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (tail) => expectSound(Buffer.concat([start, tail]))),
      { numRuns: 1_000 },
    );
  });

  it("packet of the fixtures with some bytes changed", () => {
    const packet = fc.constantFrom(...dhcpPackets().map(({ bytes }) => bytes));
    const changes = fc.array(fc.tuple(fc.nat(700), byte), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(packet, changes, (bytes, changed) => {
        const mutant = Buffer.from(bytes);
        for (const [offset, value] of changed) mutant[offset % mutant.length] = value;
        expectSound(mutant);
      }),
      { numRuns: 2_000 },
    );
  });
});
