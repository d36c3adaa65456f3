import { describe, expect, it } from "vitest";
import { AddressPool } from "../../../src/leases/address-pool.ts";
import { ExpiryWheel } from "../../../src/leases/expiry-wheel.ts";
import { Offers } from "../../../src/leases/offers.ts";
import { type Ipv4, ipv4FromNumber } from "../../../src/values/ipv4.ts";
import { ip } from "./world.ts";

const always = () => true;

describe("an address pool", () => {
  const all = (pool: AddressPool, times: number) =>
    Array.from({ length: times }, () => {
      const address = pool.take(always);
      if (address) pool.setInUse(address, true);
      return address;
    });

  it("walks through its ranges in turn, and comes to what was given back when it has been through", () => {
    const ranges = [
      { from: ip("10.0.0.10"), to: ip("10.0.0.12") },
      { from: ip("10.0.0.20"), to: ip("10.0.0.21") },
    ];
    const pool = new AddressPool(ranges, new Set([ip("10.0.0.11"), ip("10.0.0.1")]));
    expect([pool.size, pool.unused]).toEqual([4, 4]);
    expect(all(pool, 2)).toEqual(["10.0.0.10", "10.0.0.12"]);
    for (const address of ["10.0.0.10", "10.0.0.10", "10.9.9.9", "10.0.0.11"]) pool.setInUse(ip(address), false);
    expect(pool.unused).toBe(3);
    expect(all(pool, 4)).toEqual(["10.0.0.20", "10.0.0.21", "10.0.0.10", undefined]);
    expect(pool.unused).toBe(0);
  });

  it("gives out each address of a large pool once, and finds the last one left", () => {
    const pool = new AddressPool([{ from: ip("10.0.0.0"), to: ip("10.0.255.255") }], new Set([ip("10.0.0.0")]));
    expect(new Set(all(pool, 65_535)).size).toBe(65_535);
    expect(pool.take(always)).toBeUndefined();
    pool.setInUse(ip("10.0.77.77"), false);
    expect(all(pool, 2)).toEqual(["10.0.77.77", undefined]);
  });

  it("looks at a few hundred addresses per call, whatever the caller says, and goes on behind them", () => {
    const pool = new AddressPool([{ from: ip("10.0.0.0"), to: ip("10.0.15.255") }], new Set());
    let looks = 0;
    const last = (address: Ipv4) => ++looks > 0 && address === "10.0.15.255";
    let calls = 1;
    while (pool.take(last) === undefined) calls += 1;
    expect([calls, looks]).toEqual([16, 4096]);
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
