import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { loadConfig } from "../../../../src/config/load.ts";
import { ApplianceError } from "../../../../src/errors.ts";
import type { Appliance } from "../../../../src/operations/appliance.ts";
import { runDoctor } from "../../../../src/operations/doctor/doctor.ts";
import type { Finding } from "../../../../src/operations/doctor/finding.ts";
import { importImage } from "../../../../src/operations/import-image.ts";
import { Incoming } from "../../../../src/operations/incoming.ts";
import { provision } from "../../../../src/operations/provision.ts";
import { parseIpv4 } from "../../../../src/values/ipv4.ts";
import { newNode, World } from "../world.ts";

const PORTAL = 25_050;

let world: World;
let appliance: Appliance;
let directory: string;
let configFile: string;
const servers: Server[] = [];

const write = (more = "") =>
  writeFileSync(
    configFile,
    `assetsDirectory: ${directory}
pool: { directory: ${directory} }
loaders: { bios: undionly.kpxe, uefi-x64: snponly.efi }
networks:
  - name: prov
    interface: lo
    address: 127.0.0.1
    subnet: 127.0.0.0/8
    httpPort: 25051
    portals: [{ address: 127.0.0.1, port: ${PORTAL} }]
    tgtd: { control: 1 }
${more}`,
  );

async function examine(check: string, subject?: string, of = appliance): Promise<Finding[]> {
  const findings = await runDoctor({ appliance: of, configFile });
  for (const { state, remedy } of findings) expect(remedy === undefined).toBe(state === "ok");
  return findings.filter((one) => one.check === check && (subject === undefined || one.subject === subject));
}

/** Patterns in place of texts. */
const says = (finding: Record<string, string | RegExp>) =>
  Object.fromEntries(
    Object.entries(finding).map(([key, text]) => [key, text instanceof RegExp ? expect.stringMatching(text) : text]),
  );

beforeEach(async () => {
  world = new World();
  directory = mkdtempSync(join(tmpdir(), "ingot-doctor-"));
  configFile = join(directory, "ingot.yaml");
  write();
  appliance = { ...(await world.start()), config: await loadConfig(configFile) };
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await world.end();
  rmSync(directory, { recursive: true, force: true });
});

describe("the doctor", () => {
  it("takes the configuration in force for good, and names what differs from it", async () => {
    expect(await examine("config")).toMatchObject([{ subject: configFile, state: "ok" }]);
    write("log: { level: debug }\n");
    expect(await examine("config")).toMatchObject([{ state: "warning", message: expect.stringContaining("changed") }]);
    write("netwroks: []\n");
    expect(await examine("config")).toMatchObject([{ state: "failed", message: expect.stringContaining("networks") }]);
  });

  it("looks whether the interface is there, and is as nodes are told", async () => {
    expect(await examine("interfaces", "lo")).toMatchObject([
      { state: "ok", message: "up, with 127.0.0.1, MTU 65536" },
    ]);
    const [network] = appliance.config.networks;
    if (!network) throw new Error("no network");
    const differing = async (change: object) => {
      const differs = { ...appliance, config: { ...appliance.config, networks: [{ ...network, ...change }] } };
      return (await examine("interfaces", undefined, differs))[0];
    };
    expect(await differing({ address: "127.9.9.9" })).toMatchObject({
      state: "failed",
      message: "has 127.0.0.1, not 127.9.9.9",
      remedy: expect.stringContaining("ip address add 127.9.9.9/8 dev lo"),
    });
    expect(await differing({ subnet: { network: "127.0.0.0", prefix: 24 } })).toMatchObject({
      state: "failed",
      message: "has 127.0.0.1/8, but the network is a /24",
      remedy: expect.stringContaining("ip address replace 127.0.0.1/24 dev lo"),
    });
    expect(await differing({ interface: "nosuch0" })).toMatchObject({
      state: "failed",
      message: "there is no such interface",
      remedy: expect.stringContaining("ip link"),
    });
  });

  it("says who has the ports of the boot path", async () => {
    const http = "HTTP boot 127.0.0.1:25051/tcp";
    expect(await examine("ports", http)).toMatchObject([
      { state: "failed", message: expect.stringContaining("nobody") },
    ]);
    servers.push(await listen(25_051));
    expect(await examine("ports", http)).toMatchObject([{ state: "ok" }]);
    // where firmware asks a boot server or a proxy
    expect(await examine("ports", "PXE 127.0.0.1:4011/udp")).toMatchObject([{ state: "failed" }]);
  });

  it("looks whether uploads can be taken, and what lies where they wait", async () => {
    const { incoming } = appliance;
    const place = incoming.directory;
    expect(await examine("incoming")).toMatchObject([{ subject: place, state: "ok", message: /made/ }].map(says));
    mkdirSync(place, { mode: 0o700 });
    const elsewhere = { ...appliance.config, pool: { ...appliance.config.pool, directory: "/proc" } };
    appliance = { ...appliance, config: elsewhere };
    const spacious = { ...appliance, incoming: new Incoming({ directory: place, maxBytes: 1024 ** 5 }) };
    const room = { freeBytes: 5 * 1024 ** 3, allowedBytes: 1024 ** 5 };
    const look = vi.spyOn(spacious.incoming, "room").mockResolvedValue(room);
    const found = () => examine("incoming", undefined, spacious);
    expect(await found()).toMatchObject([{ state: "ok", message: /^5.0 GiB left/ }].map(says));
    look.mockResolvedValue({ ...room, freeBytes: -1 });
    expect(await found()).toMatchObject(
      [{ state: "warning", message: /^0.0 GiB left/, remedy: /free space/ }].map(says),
    );
    look.mockResolvedValue({ ...room, allowedBytes: 1024 ** 3 });
    expect(await found()).toMatchObject([{ state: "warning", message: /^1.0 GiB/, remedy: /maxBytes/ }].map(says));
    look.mockRestore();
    expect(await examine("incoming")).toMatchObject([{ state: "warning", remedy: /maxBytes/ }].map(says));
    look.mockResolvedValue(room);
    chmodSync(place, 0o755);
    expect(await found()).toMatchObject([{}, { state: "warning", message: /mode 755/, remedy: /chmod 700/ }].map(says));
    chmodSync(place, 0o700);
    for (const name of ["img-000000000000", "notes", "new"]) writeFileSync(join(place, name), "strange");
    for (const name of ["img-000000000000", "notes"]) utimesSync(join(place, name), 1, 1);
    expect(await found()).toMatchObject([{}, { state: "warning", message: /^2 files/, remedy: /ls -la/ }].map(says));
    rmSync(place, { recursive: true });
    writeFileSync(place, "no directory");
    expect(await found()).toMatchObject([{ state: "failed", message: /ENOTDIR/, remedy: /install -d/ }].map(says));
    rmSync(place);
  });

  it("looks whether uploads take the room of running disks", async () => {
    const incoming = new Incoming({ directory, maxBytes: 1024 ** 5 });
    expect(await examine("incoming", undefined, { ...appliance, incoming })).toContainEqual(
      expect.objectContaining({ state: "warning", message: expect.stringContaining("pool's own file system") }),
    );
  });

  it("looks for the loader of each firmware, and whether it is one", async () => {
    writeFileSync(join(directory, "undionly.kpxe"), Buffer.from("ea0500c00766", "hex"));
    writeFileSync(join(directory, "snponly.efi"), "");
    expect(await examine("boot-assets")).toMatchObject([
      { subject: "bios undionly.kpxe", state: "ok", message: "6 bytes" },
      {
        subject: "uefi-x64 snponly.efi",
        state: "failed",
        message: "is empty",
        remedy: expect.stringContaining("gather"),
      },
    ]);
    rmSync(join(directory, "undionly.kpxe"));
    symlinkSync("/etc/hostname", join(directory, "undionly.kpxe"));
    expect(await examine("boot-assets", "bios undionly.kpxe")).toMatchObject([
      { state: "failed", message: expect.stringContaining("leads out"), remedy: expect.stringContaining("gather") },
    ]);
    rmSync(join(directory, "undionly.kpxe"));
    expect(await examine("boot-assets", "bios undionly.kpxe")).toMatchObject([
      { state: "failed", message: expect.stringContaining("no such file") },
    ]);
    appliance = { ...appliance, config: { ...appliance.config, loaders: {} } };
    expect(await examine("boot-assets")).toMatchObject([
      { state: "warning", message: expect.stringContaining("no loader"), remedy: expect.stringContaining("gather") },
    ]);
  });

  it.each([
    ["xfs", 21, ["ok", "ok"]],
    ["ext4", 21, ["failed", "ok"]],
    ["btrfs", 20, ["ok", "warning"]],
    ["xfs", 10, ["ok", "failed"]],
  ])("judges a pool on %s with %i of 100 bytes free, the ballast counted in", async (filesystem, free, states) => {
    const ballast = { bytes: 2, releasableBytes: 2, isWhole: true };
    world.images.usage = async () => ({ filesystem, totalBytes: 100, freeBytes: free - ballast.bytes, ballast });
    expect(await examine("storaged")).toMatchObject([{ state: "ok" }]);
    expect((await examine("pool")).map(({ state }) => state)).toEqual(states);
  });

  it("finds a sparse pool file, and knows its remedy", async () => {
    const whole = await world.images.usage();
    expect((await examine("pool", whole.file!.path))[0]).toMatchObject({ state: "ok" });
    const file = { ...whole.file!, sizeBytes: 3 * 1024 ** 3, allocatedBytes: 1024 ** 3 };
    world.images.usage = async () => ({ ...whole, file });
    expect((await examine("pool", file.path))[0]).toMatchObject({
      state: "warning",
      message: expect.stringContaining("2.0 GiB"),
      remedy: expect.stringContaining("ingot pool grow 3072M"),
    });
  });

  it("tells a storaged that is down from a pool that is broken", async () => {
    const fail = (code: "UNAVAILABLE" | "DRIVER_FAILED") => {
      world.images.usage = async () => {
        throw new ApplianceError(code, "broken");
      };
    };
    fail("UNAVAILABLE");
    expect(await examine("storaged")).toMatchObject([{ state: "failed", message: "broken" }]);
    expect(await examine("pool")).toEqual([]);
    fail("DRIVER_FAILED");
    expect(await examine("storaged")).toMatchObject([{ state: "ok" }]);
    expect(await examine("pool")).toMatchObject([{ subject: directory, state: "failed", message: "broken" }]);
  });

  it("knows by the kernel alone who listens at a portal that this machine can't reach", async () => {
    const apart = (...open: string[]) => ({
      ...appliance,
      lookAtPortals: () => ({ isApart: true, open: new Set(open), peers: [] }),
    });
    const subject = `portal 127.0.0.1:${PORTAL}`;
    expect(await examine("targets", subject, apart(`127.0.0.1:${PORTAL}`))).toMatchObject([
      { state: "ok", message: "listens, apart" },
    ]);
    // what listens here is not what nodes reach
    servers.push(await listen(PORTAL));
    expect(await examine("targets", subject, apart())).toMatchObject([
      { state: "failed", remedy: expect.stringContaining("ingot-isolated-network@lo") },
    ]);
  });

  it("misses the target of a provisioned node, and a portal where nobody listens", async () => {
    expect(await examine("targets")).toMatchObject([
      { subject: "tgtd 1 (prov)", state: "ok", message: "targets served: 0, sessions: 0" },
      { subject: `portal 127.0.0.1:${PORTAL}`, state: "failed", message: "nothing listens" },
    ]);
    servers.push(await listen(PORTAL));
    await provisionOne();
    expect(await examine("targets")).toMatchObject([{ message: "targets served: 1, sessions: 1" }, { state: "ok" }]);
    const [target] = world.targets.targets.values();
    const root = target?.units[0];
    if (!target || !root) throw new Error("no target");
    const broken: [change: Partial<typeof target>, message: RegExp][] = [
      [{ units: [{ ...root, backing: { ...root.backing, path: "/elsewhere" } }] }, /^LUN 1 is \/elsewhere, not /],
      [{ units: [{ ...root, readOnly: true }] }, /^LUN 1 refuses writes$/],
      [{ units: [] }, /^LUN 1 is missing, not /],
      [{ units: [root, { ...root, lun: 2 }] }, /^LUN 2 is .*, which it should not have$/],
      [{ openTo: parseIpv4("10.9.9.9") }, /^it is open to 10\.9\.9\.9, not to 10\.20\.0\.100 alone$/],
      [{ chap: { ...target.chap, user: "somebody" } }, /^its CHAP account is not the node's$/],
    ];
    for (const [change, message] of broken) {
      world.targets.targets.set(target.iqn, { ...target, ...change });
      expect(await examine("targets", "node-1")).toMatchObject([
        { state: "failed", message: expect.stringMatching(message), remedy: expect.stringContaining("journalctl") },
      ]);
    }
    world.targets.targets.set(target.iqn, target);
    world.targets.cached.add(target.iqn);
    expect(await examine("targets", "node-1")).toMatchObject([
      { message: expect.stringContaining("acknowledges writes") },
    ]);
    world.targets.targets.clear();
    expect(await examine("targets", "node-1")).toMatchObject([
      { state: "failed", message: `there is no target ${target.iqn}` },
    ]);
    world.targets.list = async () => {
      throw new ApplianceError("UNAVAILABLE", "tgtd 1 is not running");
    };
    expect((await examine("targets"))[0]).toMatchObject({
      state: "failed",
      remedy: expect.stringContaining("systemctl"),
    });
  });

  it("asks every BMC, and leaves nodes without one alone", async () => {
    const good = await appliance.nodes.add(newNode("node-1", 1), "test");
    const bad = await appliance.nodes.add(newNode("node-2", 2), "test");
    await appliance.nodes.add({ ...newNode("node-3", 3), power: { driver: "manual" } }, "test");
    const { powerOf } = appliance;
    appliance = {
      ...appliance,
      powerOf: (node) => {
        const power = powerOf(node);
        if (node.id === bad.id) {
          world.power.get(node.id)!.status = async () => {
            throw new ApplianceError("UNAUTHENTICATED", "the BMC refused the password");
          };
        }
        return power;
      },
    };
    expect(await examine("bmcs")).toMatchObject([
      { subject: good.name, state: "ok", message: "answers: power is off" },
      { subject: bad.name, state: "failed", message: "the BMC refused the password" },
    ]);
  });

  it("names stuck operations and why they stuck", async () => {
    expect(await examine("operations")).toMatchObject([{ state: "ok" }]);
    world.nodesBoot = false;
    world.images.remove = async () => {
      throw new ApplianceError("DRIVER_FAILED", "the shelf is off", { retryable: false });
    };
    await provisionOne();
    expect(await examine("operations")).toMatchObject([
      {
        subject: appliance.runner.list()[0]?.id,
        state: "failed",
        message: expect.stringContaining("the shelf is off"),
      },
    ]);
  });

  it("counts the addresses that are left", async () => {
    const [network] = appliance.config.networks;
    if (!network) throw new Error("no network");
    const pool = [{ from: parseIpv4("127.1.0.1"), to: parseIpv4("127.1.0.10") }];
    const networks = [{ ...network, pool, exclude: [parseIpv4("127.1.0.5")] }];
    appliance = { ...appliance, config: { ...appliance.config, networks } };
    const take = async (last: number, more: object = {}) => {
      const address = `127.1.0.${last}`;
      const value = { address, network: "prov", state: "bound", expiresAt: Date.now() + 60_000, ...more };
      await appliance.records.commit([{ collection: "leases", key: address, value }]);
    };
    const subject = "127.0.0.0/8 (prov)";
    await take(11);
    await take(1, { expiresAt: 0 });
    expect(await examine("addresses", subject)).toMatchObject([{ state: "ok", message: "9 of 9 free" }]);
    for (const last of [1, 2, 3, 4, 6, 7, 8, 9]) await take(last, last === 1 ? { state: "pinned", expiresAt: 0 } : {});
    expect(await examine("addresses")).toMatchObject([{ state: "ok", message: "1 of 9 free" }]);
    await take(10);
    expect(await examine("addresses")).toMatchObject([
      { state: "failed", message: "0 of 9 free", remedy: expect.stringContaining("networks[].pool") },
    ]);
  });

  it("notices a clock that went back", async () => {
    await appliance.nodes.add(newNode("node-1", 1), "test");
    expect(await examine("clock")).toMatchObject([{ state: "ok" }]);
    const { clock } = appliance;
    appliance = { ...appliance, clock: { ...clock, now: () => clock.now() - 3600_000 } };
    expect(await examine("clock")).toMatchObject([
      {
        state: "failed",
        message: expect.stringMatching(/^is 3[56]\d\d s behind/),
        remedy: expect.stringContaining("NTP"),
      },
    ]);
  });

  it("names nodes whose boot stands still, and what to look at first", async () => {
    expect(await examine("boots")).toMatchObject([{ state: "ok", message: "none stands still" }]);
    await provisionOne();
    const { mac } = appliance.nodes.get("node-1").nics[0]!;
    expect(await examine("boots")).toMatchObject([{ state: "ok" }]);
    appliance.bootEvents({ mac, stage: "power-on", at: Date.now() });
    const { clock } = appliance;
    appliance = { ...appliance, clock: { ...clock, now: () => clock.now() + 601_000 } };
    expect(await examine("boots")).toMatchObject([
      {
        subject: "node-1",
        state: "warning",
        message: expect.stringMatching(/^switched on, no DHCP request since: its boot NIC .* is not connected/),
        remedy: expect.stringMatching(/cable.*ingot node show node-1 has more/),
      },
    ]);
  });

  it("hears what a check has found by its deadline", async () => {
    const untilItsDeadline = async (signal: AbortSignal) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    };
    const findings = await runDoctor(
      { appliance, configFile },
      {
        deadlineMs: 50,
        checks: [
          {
            name: "slow",
            run: async (_, signal) => {
              await untilItsDeadline(signal);
              return [{ check: "slow", subject: "node-1", state: "ok", message: "answers" }];
            },
          },
        ],
      },
    );
    expect(findings).toMatchObject([{ check: "slow", subject: "node-1", state: "ok" }]);
  });

  it("is done in time although a check hangs or breaks", async () => {
    const findings = await runDoctor(
      { appliance, configFile },
      {
        deadlineMs: 50,
        checks: [
          { name: "slow", run: () => new Promise(() => {}) },
          { name: "broken", run: async () => Promise.reject(new Error("oops")) },
          { name: "good", run: async () => [{ check: "good", subject: "x", state: "ok", message: "fine" }] },
        ],
      },
    );
    expect(findings.map(({ check, state }) => [check, state])).toEqual([
      ["slow", "failed"],
      ["broken", "failed"],
      ["good", "ok"],
    ]);
  });
});

async function provisionOne(): Promise<void> {
  await appliance.nodes.add(newNode("node-1", 1), "test");
  const image = { project: "default", name: "golden", path: "/x", format: "raw" as const, phonesHome: false };
  await appliance.runner.settled((await importImage(appliance, image, "test")).id);
  await appliance.runner.settled((await provision(appliance, { node: "node-1", image: "golden" }, "test")).id);
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer().listen(port, "127.0.0.1", () => resolve(server));
  });
}
