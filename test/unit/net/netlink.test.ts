import { constants, networkInterfaces } from "node:os";
import { describe, expect, it } from "vitest";
import {
  collectNetlink,
  netlinkAttribute,
  netlinkAttributes,
  netlinkDump,
  netlinkGet,
} from "../../../src/net/netlink.ts";

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

  describe("of a table", () => {
    const NLMSG_DONE = 3;
    const NLM_F_MULTI = 0x2;
    const NLM_F_DUMP_INTR = 0x10;
    const message = (type: number, flags: number, value: number) => {
      const bytes = Buffer.alloc(20);
      bytes.writeUInt32LE(20, 0);
      bytes.writeUInt16LE(type, 4);
      bytes.writeUInt16LE(NLM_F_MULTI | flags, 6);
      bytes.writeInt32LE(value, 16);
      return bytes;
    };
    const entry = message(20, 0, 7);
    const collect = (...messages: Buffer[]) => {
      const bodies: Buffer[] = [];
      return { isOver: collectNetlink(Buffer.concat(messages), bodies, [constants.errno.ENOENT]), bodies };
    };

    it("answers what is told before it ends, and knows when more is to come", () => {
      expect(collect(entry)).toMatchObject({ isOver: false, bodies: [entry.subarray(16)] });
      expect(collect(entry, message(NLMSG_DONE, 0, 0))).toMatchObject({ isOver: true, bodies: { length: 1 } });
      expect(collect(message(NLMSG_DONE, 0, -constants.errno.ENOENT))).toMatchObject({ isOver: true });
    });

    it.each([
      ["broken off", [entry, message(NLMSG_DONE, 0, -constants.errno.ENOMEM)]],
      ["that changed meanwhile, by an entry's word", [message(20, NLM_F_DUMP_INTR, 7)]],
      ["that changed meanwhile, by the last word", [entry, message(NLMSG_DONE, NLM_F_DUMP_INTR, 0)]],
    ])("takes one %s for no whole one", (_, messages) => {
      expect(() => collect(...messages)).toThrow(expect.objectContaining({ code: "UNAVAILABLE", retryable: true }));
    });
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
