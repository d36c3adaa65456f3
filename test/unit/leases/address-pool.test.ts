import { describe, expect, it } from "vitest";
import { AddressPool } from "../../../src/leases/address-pool.ts";
import { ExpiryWheel } from "../../../src/leases/expiry-wheel.ts";
import { Offers } from "../../../src/leases/offers.ts";
import { type Ipv4, ipv4FromNumber, ipv4ToNumber } from "../../../src/values/ipv4.ts";
import { ip } from "./world.ts";

const always = () => true;

describe("an address pool", () => {
  it("walks through its ranges in order, then takes what was given back longest ago", () => {
    const ranges = [
      { from: ip("10.0.0.10"), to: ip("10.0.0.12") },
      { from: ip("10.0.0.20"), to: ip("10.0.0.20") },
    ];
    const pool = new AddressPool(ranges, new Set([ip("10.0.0.11")]));
    pool.giveBack(ip("10.0.0.20"));
    pool.giveBack(ip("10.0.0.10"));
    pool.giveBack(ip("10.0.0.20"));
    pool.giveBack(ip("10.9.9.9"));
    const taken = Array.from({ length: 6 }, () => pool.take(always));
    expect(taken).toEqual(["10.0.0.10", "10.0.0.12", "10.0.0.20", "10.0.0.10", "10.0.0.20", undefined]);
  });

  it("looks at each address once per round, however many are in use", () => {
    const pool = new AddressPool([{ from: ip("10.0.0.0"), to: ip("10.0.255.255") }], new Set());
    let looks = 0;
    const odd = (address: Ipv4) => ++looks > 0 && ipv4ToNumber(address) % 2 === 1;
    for (let index = 0; index < 32_768; index++) expect(pool.take(odd)).toBeDefined();
    for (let index = 0; index < 1000; index++) expect(pool.take(odd)).toBeUndefined();
    expect(looks).toBe(65_536);
    pool.rewind();
    expect(pool.take(odd)).toBe("10.0.0.1");
  });
});

describe("offers", () => {
  it("stay bounded under a flood: the oldest end first", () => {
    const ended: Ipv4[] = [];
    const offers = new Offers((address) => ended.push(address));
    for (let index = 0; index < 65_538; index++) offers.hold(`client ${index}`, ipv4FromNumber(index), 0);
    expect(ended).toEqual(["0.0.0.0", "0.0.0.1"]);
    expect(offers.addressFor("client 0", 1)).toBeUndefined();
    expect(offers.addressFor("client 2", 1)).toBe("0.0.0.2");
  });
});

describe("the expiry wheel", () => {
  it("hands out what is due, each once, in batches", () => {
    const wheel = new ExpiryWheel();
    for (let index = 0; index < 5; index++) wheel.add(ipv4FromNumber(index), 1000);
    wheel.add(ip("10.0.0.1"), 60_000);
    expect(wheel.takeDue(999, 10)).toEqual([]);
    expect(wheel.takeDue(20_000, 3)).toEqual(["0.0.0.0", "0.0.0.1", "0.0.0.2"]);
    expect(wheel.takeDue(20_000, 3)).toEqual(["0.0.0.3", "0.0.0.4"]);
    expect(wheel.takeDue(20_000, 3)).toEqual([]);
    expect(wheel.takeDue(70_000, 3)).toEqual(["10.0.0.1"]);
  });
});
