import { describe, expect, it } from "vitest";
import { judge } from "../../../../src/operations/doctor/ports.ts";
import { parseIpv4 } from "../../../../src/values/ipv4.ts";

const address = parseIpv4("10.20.0.1");
const any = parseIpv4("0.0.0.0");
const DHCP = { protocol: "udp" as const, port: 67, address, use: "DHCP" };
const OURS = new Set([11]);

describe("a port of the boot path", () => {
  it.each([
    ["is ours", [{ address: any, port: 67, inode: 11 }], "ok", "Ingot listens"],
    ["is nobody's", [], "failed", "nobody listens"],
    ["is nobody's here", [{ address: parseIpv4("10.9.0.1"), port: 67, inode: 7 }], "failed", "nobody listens"],
    ["is somebody else's", [{ address, port: 67, inode: 7 }], "failed", "another program has it"],
    [
      "is shared",
      [
        { address: any, port: 67, inode: 11 },
        { address: any, port: 67, inode: 7 },
      ],
      "warning",
      "another program listens there too",
    ],
    ["has a neighbour", [{ address: any, port: 69, inode: 7 }], "failed", "nobody listens"],
  ])("that %s", (_, bound, state, message) => {
    const finding = judge(DHCP, bound, OURS);
    expect(finding).toMatchObject({ check: "ports", subject: "DHCP 10.20.0.1:67/udp", state });
    expect(finding.message).toContain(message);
    expect(finding.remedy === undefined).toBe(state === "ok");
  });
});
