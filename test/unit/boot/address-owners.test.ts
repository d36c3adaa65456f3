import { beforeEach, describe, expect, it } from "vitest";
import { linkOwners } from "../../../src/boot/address-owners.ts";
import { createBootTokens } from "../../../src/boot/boot-token.ts";
import { type Ipv4, parseSubnet } from "../../../src/values/ipv4.ts";
import type { Mac } from "../../../src/values/mac.ts";
import { mac } from "./boot-fixtures.ts";

const HOUR = 3_600_000;
const stranger = "52:54:00:00:00:99" as Mac;
const [here, elsewhere] = ["10.20.0.7" as Ipv4, "10.99.0.7" as Ipv4];
let now = 0;
const clock = { now: () => now, sleep: async () => {} };
const tokens = createBootTokens(Buffer.alloc(32, 1), clock);

beforeEach(() => {
  now = 1000 * HOUR;
});

describe("a boot token", () => {
  it("fits its machine and network, in its hour and the next, also after a restart", () => {
    const token = tokens.issue(mac, "rack1");
    const restarted = createBootTokens(Buffer.alloc(32, 1), clock);
    expect(restarted.fits(token, mac, "rack1")).toBe(true);
    expect(tokens.fits(token, stranger, "rack1")).toBe(false);
    expect(tokens.fits(token, mac, "rack2")).toBe(false);
    expect(createBootTokens(Buffer.alloc(32, 2), clock).fits(token, mac, "rack1")).toBe(false);
    now += 1.9 * HOUR;
    expect(tokens.fits(token, mac, "rack1")).toBe(true);
    now += 0.2 * HOUR;
    expect(tokens.fits(token, mac, "rack1")).toBe(false);
  });

  it.each(["", "x", "A".repeat(22), "%00", "A".repeat(5000)])("is not %j", (token) => {
    expect(tokens.fits(token, mac, "rack1")).toBe(false);
  });

  it("is fit for a URL in an iPXE script", () => {
    for (let hour = 0; hour < 100; hour++) {
      now = hour * HOUR;
      expect(tokens.issue(mac, "rack1")).toMatch(/^[\w-]{22}$/);
    }
  });
});

describe("whose an address is where another server gives it", () => {
  const neighbours = new Map([[`eth1 ${here}`, mac]]);
  const owners = linkOwners({
    networks: [
      {
        name: "rack1",
        interface: "eth1",
        subnet: parseSubnet("10.20.0.0/24"),
        relayedSubnets: [{ subnet: parseSubnet("10.99.0.0/24"), pool: [] }],
      },
    ],
    neighbour: (name, address) => neighbours.get(`${name} ${address}`),
    tokens,
    servedAt: (one) => (one === mac ? elsewhere : undefined),
  });

  it("is the neighbour's on the link, whatever token comes along", () => {
    expect(owners.ownerOf(here, "rack1")).toBe(mac);
    expect(owners.owns(mac, here, "rack1")).toBe(true);
    expect(owners.owns(stranger, here, "rack1", tokens.issue(stranger, "rack1"))).toBe(false);
    expect(owners.owns(mac, "10.20.0.8" as Ipv4, "rack1", tokens.issue(mac, "rack1"))).toBe(false);
    expect(owners.owns(mac, here, "rack9")).toBe(false);
  });

  it("is the machine's with the token behind a router", () => {
    expect(owners.owns(mac, elsewhere, "rack1", tokens.issue(mac, "rack1"))).toBe(true);
    expect(owners.owns(mac, elsewhere, "rack1")).toBe(false);
    expect(owners.owns(stranger, elsewhere, "rack1", tokens.issue(mac, "rack1"))).toBe(false);
    expect(owners.ownerOf(elsewhere, "rack1")).toBeUndefined();
  });

  it("is nobody's in a subnet that the network does not name, whatever token comes along", () => {
    expect(owners.owns(mac, "10.98.0.7" as Ipv4, "rack1", tokens.issue(mac, "rack1"))).toBe(false);
  });

  it("is, for a report of the OS, the one that got the script", () => {
    expect(owners.reports(mac, elsewhere, "rack1")).toBe(true);
    expect(owners.reports(stranger, elsewhere, "rack1")).toBe(false);
    expect(owners.reports(mac, here, "rack1")).toBe(true);
    expect(owners.reports(stranger, here, "rack1")).toBe(false);
  });
});
