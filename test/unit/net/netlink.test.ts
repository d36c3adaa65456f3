import { networkInterfaces } from "node:os";
import { describe, expect, it } from "vitest";
import { netlinkAttribute, netlinkAttributes, netlinkDump, netlinkGet } from "../../../src/net/netlink.ts";

// <linux/netlink.h>, <linux/rtnetlink.h>
const NETLINK_ROUTE = 0;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
/** A family whose sockets no module of a present kernel tells of. */
const AF_IPX = 4;
const RTM_GETLINK = 18;
const RTM_INVALID = 9999;
const IFINFOMSG_BYTES = 16;
const IFLA_IFNAME = 3;

const nameOf = (body: Buffer) =>
  netlinkAttributes(body.subarray(IFINFOMSG_BYTES)).get(IFLA_IFNAME)?.toString().replace("\0", "");
const named = (name: string) =>
  Buffer.concat([Buffer.alloc(IFINFOMSG_BYTES), netlinkAttribute(IFLA_IFNAME, Buffer.from(`${name}\0`))]);

describe("netlink", () => {
  it("answers a question about one thing, and that there is none", () => {
    const loopback = netlinkGet(NETLINK_ROUTE, RTM_GETLINK, named("lo"));
    expect(loopback && nameOf(loopback)).toBe("lo");
    expect(netlinkGet(NETLINK_ROUTE, RTM_GETLINK, named("nowhere0"))).toBeUndefined();
  });

  it("answers a question about all things", () => {
    const names = netlinkDump(NETLINK_ROUTE, RTM_GETLINK, Buffer.alloc(IFINFOMSG_BYTES)).map(nameOf);
    expect(names).toEqual(expect.arrayContaining(Object.keys(networkInterfaces())));
  });

  it("tells what the kernel refuses", () => {
    expect(() => netlinkGet(NETLINK_ROUTE, RTM_INVALID, named("lo"))).toThrow(
      expect.objectContaining({
        code: "UNAVAILABLE",
        details: expect.objectContaining({ remedy: expect.any(String) }),
      }),
    );
  });

  it("takes a table that the kernel can't tell for no empty one", () => {
    const question = Buffer.alloc(56);
    question.writeUInt8(AF_IPX, 0);
    expect(() => netlinkDump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, question)).toThrow(
      expect.objectContaining({
        code: "UNAVAILABLE",
        details: expect.objectContaining({ remedy: expect.stringContaining("modprobe") }),
      }),
    );
  });

  it("does not trip over attributes that are cut short", () => {
    const two = Buffer.concat([netlinkAttribute(1, Buffer.from("abc")), netlinkAttribute(2, Buffer.alloc(4))]);
    for (let length = 0; length < two.length; length++) {
      expect(netlinkAttributes(two.subarray(0, length)).size).toBeLessThan(2);
    }
    expect([...netlinkAttributes(two)]).toEqual([
      [1, Buffer.from("abc")],
      [2, Buffer.alloc(4)],
    ]);
  });
});
