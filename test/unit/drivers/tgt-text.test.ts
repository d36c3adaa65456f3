import { describe, expect, it } from "vitest";
import { parseAccounts, parsePortals, parseTargets, parseTraffic } from "../../../src/drivers/targets/tgt-text.ts";

/** Captured from tgt 1.0.85. */
const SHOWN = `Target 1: iqn.2026-11.org.ingot:app-x:disk-x
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
        I_T nexus: 10
            Initiator: iqn.me alias: none
            Connection: 0
                IP Address: 127.0.0.1
        I_T nexus: 11
            Initiator: iqn.you alias: Connection: 9
            Connection: 0
                IP Address: 10.0.0.7
            Connection: 1
                IP Address: 10.1.0.7
    LUN information:
        LUN: 0
            Type: controller
            SCSI ID: IET     00010000
            SCSI SN: beaf10
            Size: 0 MB, Block size: 1
            Online: Yes
            Removable media: No
            Prevent removal: No
            Readonly: No
            SWP: No
            Thin-provisioning: No
            Backing store type: null
            Backing store path: None
            Backing store flags: 
        LUN: 1
            Type: disk
            SCSI ID: disk-x
            SCSI SN: disk-y
            Size: 67 MB, Block size: 512
            Online: Yes
            Removable media: No
            Prevent removal: No
            Readonly: Yes
            SWP: No
            Thin-provisioning: Yes
            Backing store type: rdwr
            Backing store path: /var/lib/my pool/LUN: 7/d1.raw
            Backing store flags: sync
    Account information:
        alice
        bob (outgoing)
    ACL information:
        127.0.0.1
        iqn.me
Target 268435455: iqn.2026-11.org.ingot:app-x:disk-z
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
    LUN information:
    Account information:
    ACL information:
`;

describe("what tgtd shows", () => {
  it("of its targets", () => {
    const [first, second, ...more] = parseTargets(SHOWN);
    expect(more).toEqual([]);
    expect(first).toEqual({
      tid: 1,
      iqn: "iqn.2026-11.org.ingot:app-x:disk-x",
      sessions: [
        { id: 10, initiator: "iqn.me", connections: [{ id: 0, address: "127.0.0.1" }] },
        {
          id: 11,
          initiator: "iqn.you",
          connections: [
            { id: 0, address: "10.0.0.7" },
            { id: 1, address: "10.1.0.7" },
          ],
        },
      ],
      units: [
        {
          lun: 0,
          path: "None",
          store: "null",
          flags: "",
          serial: "beaf10",
          scsiId: "IET     00010000",
          readOnly: false,
          thin: false,
        },
        {
          lun: 1,
          path: "/var/lib/my pool/LUN: 7/d1.raw",
          store: "rdwr",
          flags: "sync",
          serial: "disk-y",
          scsiId: "disk-x",
          readOnly: true,
          thin: true,
        },
      ],
      incoming: ["alice"],
      outgoing: ["bob"],
      allowed: ["127.0.0.1", "iqn.me"],
    });
    expect(second).toMatchObject({ tid: 268435455, sessions: [], units: [], incoming: [], outgoing: [], allowed: [] });
  });

  it("of no targets", () => {
    expect(parseTargets("")).toEqual([]);
  });

  it("of sessions' traffic: finished bytes by target, LUN and session", () => {
    const text = `tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) wr_done(bytes,cmds) errs
  1   0  10            0      0            0      0            0      0            0      0    0
  1   1  10     99999999      9          749      8      2097152      2      1048576      1    1
`;
    expect(parseTraffic(text)).toEqual([
      { tid: 1, lun: 0, session: 10, readBytes: 0, writtenBytes: 0 },
      { tid: 1, lun: 1, session: 10, readBytes: 749, writtenBytes: 1048576 },
    ]);
  });

  it("of portals and accounts", () => {
    expect(parsePortals("Portal: 127.0.0.1:23000,1\nPortal: [::1]:3260,1\n")).toEqual([
      "127.0.0.1:23000",
      "[::1]:3260",
    ]);
    expect(parseAccounts("Account list:\n    alice\n    bob\n")).toEqual(["alice", "bob"]);
    expect(parseAccounts("Account list:\n")).toEqual([]);
  });
});
