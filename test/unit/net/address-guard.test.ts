import { describe, expect, it } from "vitest";
import { createAddressGuard } from "../../../src/net/address-guard.ts";

const HOSTS: Record<string, string[]> = {
  "public.example": ["93.184.216.34", "2606:2800:220:1::1"],
  "inner.example": ["10.1.2.3"],
  "both.example": ["10.1.2.3", "93.184.216.34"],
  "bmc.example": ["93.184.216.77"],
  "alias.example": ["93.184.216.77"],
};
const resolve = async (host: string) => {
  const found = HOSTS[host];
  if (!found) throw Object.assign(new Error("ENOTFOUND"), { code: "ENOTFOUND" });
  return found;
};
const guardWith = (allowed: string[], refused: string[] = []) =>
  createAddressGuard({ allowed: () => allowed, refused: () => refused, resolve });

describe("the address guard", () => {
  it.each([
    ["this host", "0.0.0.0"],
    ["loopback", "127.0.0.1"],
    ["loopback, elsewhere", "127.8.9.10"],
    ["private", "10.0.0.1"],
    ["private", "172.16.0.1"],
    ["private", "192.168.1.1"],
    ["link-local", "169.254.169.254"],
    ["shared by carriers", "100.64.0.1"],
    ["multicast", "224.0.0.1"],
    ["broadcast", "255.255.255.255"],
    ["reserved", "240.0.0.1"],
    ["loopback, v6", "[::1]"],
    ["any, v6", "[::]"],
    ["unique local", "[fd00::1]"],
    ["link-local, v6", "[fe80::1]"],
    ["multicast, v6", "[ff02::1]"],
    ["loopback as v4-mapped", "[::ffff:127.0.0.1]"],
    ["private as v4-mapped", "[::ffff:a01:203]"],
    ["6to4", "[2002:7f00:1::]"],
    ["translated v4", "[64:ff9b::7f00:1]"],
    ["a name that leads inside", "inner.example"],
    ["the same in capitals and with a dot", "INNER.example."],
  ])("refuses what is not public: %s", async (_, host) => {
    await expect(guardWith([])(host)).rejects.toMatchObject({
      code: "FORBIDDEN",
      details: { field: "url", remedy: expect.stringContaining("pool.importFrom") },
    });
  });

  it("lets public addresses through, and of a name only those", async () => {
    expect(await guardWith([])("public.example")).toEqual([
      { address: "93.184.216.34", family: 4 },
      { address: "2606:2800:220:1::1", family: 6 },
    ]);
    expect(await guardWith([])("both.example")).toEqual([{ address: "93.184.216.34", family: 4 }]);
    expect(await guardWith([])("[2606:2800:220:1::1]")).toEqual([{ address: "2606:2800:220:1::1", family: 6 }]);
  });

  it("refuses public addresses of ours, by address, range or name", async () => {
    for (const refused of ["93.184.216.77", "93.184.216.0/24", "bmc.example"]) {
      await expect(guardWith([], [refused])("bmc.example")).rejects.toMatchObject({ code: "FORBIDDEN" });
    }
  });

  it("refuses the addresses of names of ours, whatever they are called by, also where some of these names lead nowhere", async () => {
    const guard = guardWith([], ["gone.example", "bmc.example", "10.0.0.0/8"]);
    for (const host of ["93.184.216.77", "alias.example"]) {
      await expect(guard(host)).rejects.toMatchObject({ code: "FORBIDDEN" });
    }
    expect(await guard("93.184.216.34")).toEqual([{ address: "93.184.216.34", family: 4 }]);
    const listed = guardWith(["alias.example"], ["bmc.example"]);
    expect(await listed("alias.example")).toEqual([{ address: "93.184.216.77", family: 4 }]);
  });

  it.each(["inner.example", "Inner.Example", "10.1.2.3", "10.1.0.0/16", "::ffff:10.1.2.3"])(
    "lets through what is listed: %s",
    async (listed) => {
      const guard = guardWith([listed], ["10.1.2.3"]);
      expect(await guard("inner.example")).toEqual([{ address: "10.1.2.3", family: 4 }]);
    },
  );

  it("says that nobody knows a name", async () => {
    await expect(guardWith([])("nowhere.example")).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});
