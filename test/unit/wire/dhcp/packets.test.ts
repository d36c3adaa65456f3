import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isApplianceError } from "../../../../src/errors.ts";
import { decodeDhcp } from "../../../../src/wire/dhcp/decode.ts";
import { encodeDhcp } from "../../../../src/wire/dhcp/encode.ts";
import { formatDhcp } from "../../../../src/wire/dhcp/format.ts";
import { type Option, readOption } from "../../../../src/wire/dhcp/option.ts";
import { OPTION } from "../../../../src/wire/dhcp/options.ts";
import { dhcpPackets } from "../../../fixtures/dhcp-packets.ts";

const packets = dhcpPackets();

it("has a golden text beside every packet", () => {
  expect(packets.length).toBeGreaterThan(30);
  expect(packets.filter(({ golden }) => !existsSync(golden))).toEqual([]);
});

describe.each(packets)("$name", ({ bytes, golden }) => {
  it("reads as its golden text", async () => {
    await expect(formatDhcp(decodeDhcp(bytes))).toMatchFileSnapshot(golden);
  });

  it("means the same when encoded again, with and without overload", () => {
    const message = decodeDhcp(bytes);
    for (const maxBytes of [548, 1472]) {
      expect(decodeDhcp(encodeDhcp(message, { maxBytes }))).toEqual(message);
    }
  });

  it("is a message or INVALID wherever it is cut", () => {
    for (let length = 0; length < bytes.length; length++) {
      const message = decodeOrInvalid(bytes.subarray(0, length));
      if (message) expect(formatDhcp(message)).toContain("xid=");
    }
  });

  it("has options that can be read one by one, or INVALID with their names", () => {
    const { options } = decodeDhcp(bytes);
    for (const [name, option] of Object.entries<Option<unknown>>(OPTION)) {
      try {
        readOption(options, option);
      } catch (error) {
        expect(isApplianceError(error, "INVALID") && error.message).toContain(`DHCP option ${name} (${option.code})`);
      }
    }
  });
});

function decodeOrInvalid(bytes: Uint8Array) {
  try {
    return decodeDhcp(bytes);
  } catch (error) {
    if (!isApplianceError(error, "INVALID")) throw error;
    expect(error.message).toMatch(/^not a DHCP message: |^DHCP option /);
    return undefined;
  }
}
