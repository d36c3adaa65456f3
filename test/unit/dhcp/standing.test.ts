import { beforeEach, describe, expect, it } from "vitest";
import type { NetworkConfig } from "../../../src/config/schema.ts";
import { DhcpStanding } from "../../../src/dhcp/standing.ts";
import { createLog } from "../../../src/log.ts";
import type { Mac } from "../../../src/values/mac.ts";
import { ip, rack } from "../leases/world.ts";

const OTHER = ip("10.0.0.250");
const CLIENT = "52:54:00:aa:00:01" as Mac;
const SECOND_CLIENT = "52:54:00:aa:00:02" as Mac;
let now: number;
let lines: { level: string; msg: string; server?: string; remedy?: string }[];

beforeEach(() => {
  now = 1000;
  lines = [];
});

function standing(changes: Partial<NetworkConfig>) {
  const network = { ...rack(), ...changes };
  const log = createLog("info", { write: (line) => void lines.push(JSON.parse(line)) });
  return { network, dhcp: new DhcpStanding(network, { now: () => now, sleep: async () => {} }, log) };
}

describe("the part that DHCP plays", () => {
  it.each([
    ["server", "silent", "server", "silent"],
    ["auto", "silent", "server", "proxy"],
    ["proxy", "proxy", "proxy", "proxy"],
    ["off", "off", "off", "off"],
  ] as const)("with %s is %s first, %s alone, and %s beside another server", (mode, first, alone, beside) => {
    const { dhcp } = standing({ dhcp: mode });
    expect(dhcp.role).toBe(first);
    dhcp.probed(now);
    expect(dhcp.role).toBe(alone);
    const other = standing({ dhcp: mode }).dhcp;
    other.saw(OTHER);
    other.probed(now);
    expect(other.role).toBe(beside);
    expect(other.state.foreign).toEqual([{ address: OTHER, firstSeenAt: now, lastSeenAt: now, by: "probe" }]);
  });

  it("is a server's at once where it may work beside others", () => {
    const { network, dhcp } = standing({ besideForeignDhcp: true });
    expect(dhcp.role).toBe("server");
    dhcp.saw(OTHER);
    dhcp.probed(now);
    expect(dhcp.role).toBe("server");
    network.besideForeignDhcp = false;
    expect(dhcp.role).toBe("silent");
  });

  it("becomes a server's when the other one is gone, and stays one when it comes back, with a loud word", () => {
    const { dhcp } = standing({});
    dhcp.saw(OTHER);
    dhcp.saw(OTHER, CLIENT);
    dhcp.probed(now);
    now += 60_000;
    dhcp.probed(now);
    expect([dhcp.role, dhcp.state.foreign]).toEqual(["server", []]);
    dhcp.saw(OTHER);
    expect(dhcp.role).toBe("server");
    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
      ["error", "dhcp: another DHCP server is here; no address is given out"],
      ["info", "dhcp: the other DHCP server is gone"],
      ["info", "dhcp: no other DHCP server found; serving"],
      ["error", "dhcp: another DHCP server has come; nodes may get its addresses"],
    ]);
    expect(lines[0]?.remedy).toMatch(/proxy or auto/);
  });

  it("stays a proxy's while the other server restarts", () => {
    const { dhcp } = standing({ dhcp: "auto" });
    dhcp.saw(OTHER);
    expect(dhcp.role).toBe("proxy");
    now += 3_600_000;
    dhcp.probed(now);
    expect([dhcp.role, dhcp.state.foreign, dhcp.givesAddresses]).toEqual(["proxy", [], false]);
  });

  it("becomes a proxy's in auto when another server answers two probes, not by the answers of one", () => {
    const { dhcp } = standing({ dhcp: "auto" });
    dhcp.probed(now);
    expect(dhcp.isUnsettled).toBe(false);
    now += 300_000;
    for (let answers = 0; answers < 4; answers++) dhcp.saw(OTHER);
    dhcp.saw(OTHER, CLIENT);
    now += 4_000;
    dhcp.probed(now - 4_000);
    dhcp.saw(OTHER, SECOND_CLIENT);
    expect([dhcp.role, dhcp.isUnsettled]).toEqual(["server", true]);
    now += 30_000;
    expect(dhcp.saw(OTHER)).toBe(true);
    expect([dhcp.role, dhcp.isUnsettled]).toEqual(["proxy", false]);
    expect(lines.slice(-2).map(({ msg }) => msg)).toEqual([
      "dhcp: another DHCP server is here; proxy if it answers once more",
      "dhcp: another DHCP server is here; proxy from now on",
    ]);
  });

  it("takes itself for no other, and remembers no more than sixteen", () => {
    const { network, dhcp } = standing({});
    dhcp.saw(network.address);
    expect(dhcp.state.foreign).toEqual([]);
    for (let last = 50; last < 90; last++) dhcp.saw(ip(`10.9.0.${last}`), CLIENT);
    expect(dhcp.state.foreign).toHaveLength(16);
  });

  it.each(["server", "auto"] as const)(
    "with %s is not decided by what a client says, which anybody can forge",
    (mode) => {
      const { dhcp } = standing({ dhcp: mode });
      expect(dhcp.saw(OTHER, CLIENT)).toBe(true);
      expect(dhcp.saw(OTHER, CLIENT)).toBe(false);
      dhcp.probed(now);
      expect(dhcp.role).toBe("server");
      expect(dhcp.state.foreign).toMatchObject([{ address: OTHER, by: "request" }]);
      expect(lines[0]).toMatchObject({ level: "warn", server: OTHER });
      expect(dhcp.saw(OTHER)).toBe(true);
      expect(lines.at(-1)?.msg).toMatch(/has come|proxy if it answers once more/);
    },
  );

  it("takes the word of two clients in auto where nobody can look for others", () => {
    const { dhcp } = standing({ dhcp: "auto" });
    dhcp.probed(now, { message: "port 68 is taken" });
    for (let times = 0; times < 3; times++) dhcp.saw(OTHER, CLIENT);
    dhcp.saw(ip("10.0.0.251"), SECOND_CLIENT);
    expect(dhcp.role).toBe("server");
    expect(dhcp.saw(OTHER, SECOND_CLIENT)).toBe(true);
    expect(dhcp.role).toBe("proxy");
    expect(lines.at(-1)).toMatchObject({ server: OTHER, msg: expect.stringMatching(/proxy from now on/) });
    expect(dhcp.saw(OTHER, "52:54:00:aa:00:03" as Mac)).toBe(false);
  });

  it("tells a server of one that two clients name where nobody can look for others", () => {
    const { dhcp } = standing({});
    dhcp.probed(now, { message: "port 68 is taken" });
    for (const client of [CLIENT, SECOND_CLIENT]) dhcp.saw(OTHER, client);
    expect(dhcp.role).toBe("server");
    expect(lines.slice(-2).map(({ level }) => level)).toEqual(["warn", "error"]);
  });

  it("finds a server that answers among as many forged ones as it remembers", () => {
    const { dhcp } = standing({});
    for (let last = 50; last < 90; last++) dhcp.saw(ip(`10.9.0.${last}`), CLIENT);
    dhcp.saw(OTHER);
    dhcp.probed(now);
    expect(dhcp.role).toBe("silent");
    expect(dhcp.state.foreign).toHaveLength(16);
  });

  it("forgets a server that clients named when nobody does any more, and one that a failed probe missed never", () => {
    const { dhcp } = standing({});
    dhcp.saw(OTHER);
    dhcp.saw(ip("10.0.0.251"), CLIENT);
    now += 3_600_000;
    dhcp.probed(now, { message: "port 68 is taken" });
    expect([dhcp.role, dhcp.state.trouble]).toEqual(["silent", { message: "port 68 is taken" }]);
    expect(dhcp.state.foreign).toHaveLength(2);
    dhcp.probed(now);
    expect([dhcp.role, dhcp.state.trouble, dhcp.state.foreign]).toEqual(["server", undefined, []]);
  });

  it("is a server's too where nobody can look for others", () => {
    const { dhcp } = standing({});
    dhcp.probed(now, { message: "port 68 is taken" });
    dhcp.probed(now, { message: "port 68 is taken" });
    expect(dhcp.role).toBe("server");
    expect(lines.filter(({ level }) => level === "warn")).toHaveLength(1);
  });
});
