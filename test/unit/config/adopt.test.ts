import { expect, it } from "vitest";
import { adoptConfig } from "../../../src/config/adopt.ts";
import { configRows } from "../../../src/config/document.ts";
import { type Config, configSchema } from "../../../src/config/schema.ts";

function config(changes: object = {}, networkChanges: object = {}): Config {
  return configSchema.parse({
    networks: [
      {
        name: "prov",
        interface: "eth1",
        address: "10.20.0.1",
        subnet: "10.20.0.0/24",
        portals: [{ address: "10.20.0.1" }],
        tgtd: { control: 1 },
        ...networkChanges,
      },
    ],
    ...changes,
  });
}

it("takes over what may change at once, in the objects that everybody holds", () => {
  const live = config();
  const { operations, tftp, loaders, networks } = live;
  const changes = {
    operations: { loginSeconds: 7 },
    tftp: { maxTransfers: 3 },
    loaders: { bios: "ipxe.pxe" },
    chap: "mutual",
  };
  expect(adoptConfig(live, config(changes, { unknown: "hold" }))).toEqual([]);
  expect(operations.loginSeconds).toBe(7);
  expect(tftp).toEqual({ maxTransfers: 3, maxTransfersPerClient: 8 });
  expect(loaders).toEqual({ bios: ["ipxe.pxe"] });
  expect(networks[0]?.unknown).toBe("hold");
  expect(live.chap).toBe("mutual");
});

it("takes over a section that came, changed and went", () => {
  const live = config();
  const hil = (url: string) => config({ isolation: { hil: { url } } });
  for (const next of [hil("http://one:5000"), hil("http://two:5000"), config()]) {
    expect(adoptConfig(live, next)).toEqual([]);
    expect(live).toEqual(next);
  }
});

it("names what waits for a restart and leaves it as it is", () => {
  const live = config();
  const next = config(
    { log: { level: "debug" }, api: { listen: { port: 9 } } },
    { leaseSeconds: 5, unknown: "ignore" },
  );
  expect(adoptConfig(live, next)).toEqual(["log.level", "networks[prov].leaseSeconds", "api.listen.port"]);
  expect(live).toEqual(config({}, { unknown: "ignore" }));
});

it("takes nothing over from a list whose entries came or went", () => {
  const live = config();
  expect(adoptConfig(live, config({}, { name: "other", unknown: "hold" }))).toEqual(["networks"]);
  expect(live).toEqual(config());
});

it("the documented keys without a restart are those that are read anew at each use", () => {
  const atOnce = configRows()
    .filter((row) => !row.restart && !["mapping", "list"].includes(row.type))
    .map((row) => row.key);
  expect(atOnce).toEqual([
    "networks[].besideForeignDhcp",
    "networks[].unknown",
    "networks[].project",
    "networks[].isolatedAs",
    "networks[].vlan",
    "loaders.bios",
    "loaders.uefi-x64",
    "loaders.uefi-arm64",
    "loaders.uefi-http-x64",
    "loaders.uefi-http-arm64",
    "tftp.maxTransfers",
    "tftp.maxTransfersPerClient",
    "pool.importFrom",
    "pool.incoming.expireSeconds",
    "pool.incoming.stallSeconds",
    "pool.watermarks.warn",
    "pool.watermarks.close",
    "pool.watermarks.critical",
    "disks.graceHours",
    "disks.maxChainDepth",
    "chap",
    "arming",
    "operations.loginSeconds",
    "operations.readySeconds",
    "operations.softOffSeconds",
    "operations.bmcSeconds",
    "audit.tenureDays",
    "isolation.changeSeconds",
    "isolation.projects",
    "isolation.hil.url",
    "isolation.hil.user",
    "isolation.hil.passwordFile",
    "isolation.hil.tokenFile",
    "api.hil.cacheSeconds",
    "api.hil.projectRole",
    "api.hil.roles[].user",
    "api.hil.roles[].role",
    "api.hil.roles[].project",
    "api.oidc.roles[].group",
    "api.oidc.roles[].role",
    "api.oidc.roles[].project",
  ]);
});
