import { describe, expect, it } from "vitest";
import { replyDestination } from "../../../src/dhcp/reply-destination.ts";
import { ip } from "../leases/world.ts";

const RELAY = ip("10.0.5.254");
const CLIENT = ip("10.0.0.10");
const NONE = ip("0.0.0.0");

describe("where a reply goes (RFC 2131 4.1)", () => {
  it.each([
    { giaddr: RELAY, ciaddr: NONE, isNak: false, to: "10.0.5.254:67" },
    { giaddr: RELAY, ciaddr: CLIENT, isNak: false, to: "10.0.5.254:67" },
    { giaddr: RELAY, ciaddr: NONE, isNak: true, to: "10.0.5.254:67" },
    { giaddr: NONE, ciaddr: CLIENT, isNak: false, to: "10.0.0.10:68" },
    { giaddr: NONE, ciaddr: CLIENT, isNak: true, to: "255.255.255.255:68" },
    { giaddr: NONE, ciaddr: NONE, isNak: true, to: "255.255.255.255:68" },
    { giaddr: NONE, ciaddr: NONE, isNak: false, to: "255.255.255.255:68" },
  ])("giaddr $giaddr, ciaddr $ciaddr, NAK $isNak: $to", ({ to, ...addresses }) => {
    const { address, port } = replyDestination(addresses);
    expect(`${address}:${port}`).toBe(to);
  });
});
