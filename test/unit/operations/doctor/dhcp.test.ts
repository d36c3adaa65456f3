import { expect, it } from "vitest";
import type { DhcpState } from "../../../../src/dhcp/standing.ts";
import { dhcpCheck } from "../../../../src/operations/doctor/dhcp.ts";
import type { Patient } from "../../../../src/operations/doctor/finding.ts";

const other = { address: "10.0.0.250", firstSeenAt: 1, lastSeenAt: 1, by: "probe" } as const;
const hearsay = { ...other, by: "request" } as const;
const signal = new AbortController().signal;

function look(state: object, besideForeignDhcp = false) {
  const dhcp = () => ({ mode: "server", role: "server", foreign: [], probedAt: 1, ...state }) as unknown as DhcpState;
  const appliance = { config: { networks: [{ name: "rack", besideForeignDhcp }] }, dhcp };
  return dhcpCheck.run({ appliance, configFile: "" } as unknown as Patient, signal);
}

it.each([
  ["a server alone", {}, "ok", /only one/],
  ["a server that another one joined", { foreign: [other] }, "failed", /10\.0\.0\.250 has come/],
  [
    "a server that keeps silent",
    { role: "silent", foreign: [other] },
    "failed",
    /silent, since DHCP server 10\.0\.0\.250/,
  ],
  ["a server that still looks around", { role: "silent", probedAt: undefined }, "warning", /until it is known/],
  [
    "a silent one that only heard of another",
    { role: "silent", foreign: [hearsay], probedAt: undefined },
    "warning",
    /until it is known/,
  ],
  ["a server that only heard of another", { foreign: [hearsay] }, "warning", /10\.0\.0\.250, which answers no probe/],
  ["a proxy beside its server", { mode: "proxy", role: "proxy", foreign: [other] }, "ok", /addresses come from 10/],
  ["a proxy that nobody found yet", { mode: "proxy", role: "proxy", probedAt: undefined }, "ok", /seen so far/],
  ["a proxy without a server", { mode: "proxy", role: "proxy" }, "failed", /no DHCP server answers/],
  ["auto whose other server went", { mode: "auto", role: "proxy" }, "failed", /no DHCP server answers/],
  ["off without a server", { mode: "off", role: "off" }, "failed", /no DHCP server answers/],
])("finds %s", async (_, state, outcome, message) => {
  const [finding, second] = await look(state);
  expect(finding).toMatchObject({ check: "dhcp", subject: "rack", state: outcome });
  expect(finding?.message).toMatch(message);
  expect(finding?.remedy === undefined).toBe(outcome === "ok");
  expect(second).toBeUndefined();
});

it("takes a server beside another one for good where that is allowed", async () => {
  expect(await look({ foreign: [other] }, true)).toMatchObject([
    { state: "ok", message: expect.stringMatching(/beside 10/) },
  ]);
});

it("tells why it can't look for other servers", async () => {
  const trouble = { message: "port 68 is taken", remedy: "give it back" };
  expect(await look({ trouble })).toMatchObject([
    { state: "ok" },
    { state: "warning", message: "can't look for other DHCP servers: port 68 is taken", remedy: "give it back" },
  ]);
});
