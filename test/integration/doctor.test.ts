/**
 * A whole appliance whose parts are broken one after the other: the doctor must name the part and say what to do, and be
 * content again once it is mended. No node runs; one without a BMC is provisioned as far as its power-on.
 *
 *   namespace ingot-stdoctor: prov0 10.77.0.1 (bridge), one end of a cable as its port
 */
import { copyFile, readFile, rename, truncate, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Disk, Finding, Node } from "../../src/cli/answers.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import { findTarget } from "../e2e/target-view.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { createRack, type Rack, type RackNode } from "../lab/rack.ts";
import { until } from "./until.ts";

const STATE = "/var/tmp/ingot-st-doctor";
const CONTROL = 460;
const PATIENT = { timeout: 20_000, interval: 200 };
const MANUAL = "bench";

let rack: Rack;
let node: RackNode;
let disk: Disk;

/** What the doctor finds now. */
function examine(): Promise<Finding[]> {
  return new Promise((resolve, reject) => {
    const request = get({ socketPath: rack.apiSocket, path: "/v1/system/doctor" }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve(JSON.parse(Buffer.concat(chunks).toString()));
    });
    request.on("error", reject);
  });
}

/** The findings about one thing that are not ok, in short: `failed: message -> remedy`. */
async function complaints(check: string, subject?: string): Promise<string[]> {
  const findings = (await examine()).filter(
    (one) => one.check === check && (subject === undefined || one.subject === subject),
  );
  return findings
    .filter(({ state }) => state !== "ok")
    .map(({ state, message, remedy }) => `${state}: ${message} -> ${remedy}`);
}

type Break = {
  check: string;
  subject?: string;
  says: RegExp;
  break: () => Promise<unknown>;
  mend: () => Promise<unknown>;
};

/** Breaks, reads what the doctor says, mends, and sees him no longer say it. */
async function seen({ check, subject, says, break: damage, mend }: Break): Promise<void> {
  const calm = () =>
    expect.poll(() => complaints(check, subject), PATIENT).not.toContainEqual(expect.stringMatching(says));
  await calm();
  try {
    await damage();
    await expect.poll(() => complaints(check, subject), PATIENT).toContainEqual(expect.stringMatching(says));
  } finally {
    await mend();
  }
  await calm();
}

const inside = (line: string) => rack.network.run(line.split(" "));
const drop = (match: string) => async () => {
  await inside("nft add table inet broken");
  await inside("nft add chain inet broken input { type filter hook input priority 0 ; }");
  await inside(`nft add rule inet broken input ${match} drop`);
};
const undrop = () => inside("nft delete table inet broken");
const daemon = createTgtServer();

beforeAll(async () => {
  await destroyEverything(STATE);
  rack = await createRack({
    stateDirectory: STATE,
    name: "stdoctor",
    control: CONTROL,
    networkConfig: { pool: [{ from: "10.77.0.100", to: "10.77.0.101" }] },
    config: { operations: { bmcSeconds: 5 } },
  });
  node = await rack.addNode({ name: "node-1", firmware: "bios" });
});
afterAll(() => destroyEverything(STATE));

describe("the doctor, on a machine", () => {
  it("where nothing is connected yet, warns of the carrier alone; the rest is in order", async () => {
    const bad = async () => (await examine()).filter(({ state, message }) => state !== "ok" && !isOfTheLab(message));
    await expect.poll(async () => (await bad()).map(({ check }) => check), PATIENT).toEqual(["interfaces"]);
    const carrier = /^warning: has no carrier: .* -> look at the cable/;
    expect(await complaints("interfaces", "prov0")).toEqual([expect.stringMatching(carrier)]);
    await inside("ip link add cable0 type veth peer name cable1");
    await inside("ip link set cable0 master prov0 up");
    await inside("ip link set cable1 up");
    await expect.poll(() => complaints("interfaces"), PATIENT).toEqual([]);
  });

  it.each<[string, () => Break]>([
    [
      "an interface that is down",
      () => ({
        check: "interfaces",
        subject: "prov0",
        says: /^failed: is down -> ip link set prov0 up$/,
        break: () => inside("ip link set prov0 down"),
        mend: () => inside("ip link set prov0 up"),
      }),
    ],
    [
      "an address that is gone",
      () => ({
        check: "interfaces",
        subject: "prov0",
        says: /^failed: has no IPv4 address, not 10\.77\.0\.1 -> ip address add 10\.77\.0\.1\/24 dev prov0$/,
        break: () => inside("ip address del 10.77.0.1/24 dev prov0"),
        mend: () => inside("ip address add 10.77.0.1/24 brd + dev prov0"),
      }),
    ],
    [
      "an MTU that nodes are not told",
      () => ({
        check: "interfaces",
        subject: "prov0",
        says: /^warning: its MTU is 1400, and nodes are not told -> set networks\[\]\.mtu to 1400$/,
        break: () => inside("ip link set prov0 mtu 1400"),
        mend: () => inside("ip link set prov0 mtu 1500"),
      }),
    ],
    [
      "a cable that was pulled",
      () => ({
        check: "interfaces",
        subject: "prov0",
        says: /^warning: has no carrier.* -> look at the cable/,
        break: () => inside("ip link set cable1 down"),
        mend: () => inside("ip link set cable1 up"),
      }),
    ],
    [
      "a firewall before the portal",
      () => ({
        check: "targets",
        subject: "portal 10.77.0.1:3260",
        says: /^failed: no answer within 3 s -> a firewall drops it: let tcp port 3260 in on prov0/,
        break: drop("tcp dport 3260"),
        mend: undrop,
      }),
    ],
    [
      "a firewall before HTTP",
      () => ({
        check: "boot-servers",
        subject: "HTTP 10.77.0.1:80",
        says: /^failed: undionly\.kpxe: no answer within 3 s.* -> a firewall .*tcp port 80 in on prov0/,
        break: drop("tcp dport 80"),
        mend: undrop,
      }),
    ],
    [
      "a firewall before TFTP",
      () => ({
        check: "boot-servers",
        subject: "TFTP 10.77.0.1:69",
        says: /^failed: undionly\.kpxe: no answer within 3 s.* -> a firewall .*udp port 69 in on prov0/,
        break: drop("udp dport 69"),
        mend: undrop,
      }),
    ],
    [
      "a loader that is gone",
      () => ({
        check: "boot-assets",
        subject: "bios undionly.kpxe",
        says: /^failed: can't be read .*no such file -> gather the loaders anew/,
        ...hidden("undionly.kpxe"),
      }),
    ],
    [
      "a loader that is gone, at the servers",
      () => ({
        check: "boot-servers",
        says: /^failed: undionly\.kpxe: HTTP 404 -> gather the loaders anew/,
        ...hidden("undionly.kpxe"),
      }),
    ],
    [
      "a loader of another kind",
      () => ({
        check: "boot-assets",
        subject: "uefi-x64 snponly.efi",
        says: /^failed: is no EFI program -> gather/,
        break: async () => {
          await rename(asset("snponly.efi"), asset("saved"));
          await copyFile(asset("undionly.kpxe"), asset("snponly.efi"));
        },
        mend: () => rename(asset("saved"), asset("snponly.efi")),
      }),
    ],
    [
      "a loader that is cut short",
      () => ({
        check: "boot-assets",
        subject: "uefi-x64 snponly.efi",
        says: /^failed: is cut short -> gather/,
        break: async () => {
          await copyFile(asset("snponly.efi"), asset("saved"));
          await truncate(asset("snponly.efi"), 100_000);
        },
        mend: () => rename(asset("saved"), asset("snponly.efi")),
      }),
    ],
    [
      "a target daemon that is dead",
      () => ({
        check: "targets",
        subject: `tgtd ${CONTROL} (prov0)`,
        says: new RegExp(`^failed: .*-> systemctl status ingot-tgtd@${CONTROL}`),
        break: () => rack.end("tgtd-0", "SIGKILL"),
        mend: () => rack.startTgtd(),
      }),
    ],
    [
      "a portal where nobody listens",
      () => ({
        check: "targets",
        subject: "portal 10.77.0.1:3260",
        says: new RegExp(`^failed: nothing listens -> systemctl status ingot-tgtd@${CONTROL}`),
        break: () => rack.end("tgtd-0", "SIGKILL"),
        mend: () => rack.startTgtd(),
      }),
    ],
    [
      "a storaged that is dead",
      () => ({
        check: "storaged",
        says: /^failed: .*-> systemctl status ingot-storaged/,
        break: () => rack.end("storaged", "SIGKILL"),
        mend: () => rack.startStoraged(),
      }),
    ],
    [
      "a pool that is nearly full",
      () => ({
        check: "pool",
        says: /^(warning|failed): .* used.* -> ingot pool show/,
        break: () => inside(`fallocate -l 7G ${join(STATE, "pool", "filler")}`),
        mend: () => inside(`rm -f ${join(STATE, "pool", "filler")}`),
      }),
    ],
    [
      "a BMC with another password",
      () => ({
        check: "bmcs",
        subject: "node-1",
        says: /^failed: .*refuses user "admin" -> check user and password/,
        break: () => writeFile(passwordFile(), "wrong"),
        mend: () => writeFile(passwordFile(), node.bmc.password),
      }),
    ],
    [
      "a file that was changed",
      () => changed("log: { level: warn }\n", /^warning: was changed since the start.* -> systemctl/),
    ],
    [
      "a file that can't be read any more",
      () => changed("netwroks: []\n", /^failed: .*netwroks.* -> .*--check-config/),
    ],
    [
      "another server on a port of ours",
      () => ({
        check: "ports",
        subject: "DHCP 10.77.0.1:67/udp",
        says: /^warning: another program listens there too -> ss -lnpu sport = :67 names it/,
        break: () =>
          rack.network.start(["socat", "-u", "UDP4-RECV:67,so-bindtodevice=lo", "STDOUT"], {
            name: "intruder",
            stdio: ["ignore", "ignore", "ignore"],
          }),
        mend: () => rack.end("intruder"),
      }),
    ],
  ])("names %s", async (_, about) => {
    await seen(about());
  });
});

/** The lab's pool is a sparse file on purpose. */
const isOfTheLab = (message: string) => message.startsWith("sparse: ");
const asset = (name: string) => join(STATE, "assets", name);
const passwordFile = () => join(STATE, "bmc", "node-1.password");
const hidden = (name: string) => ({
  break: () => rename(asset(name), asset(`${name}.hidden`)),
  mend: () => rename(asset(`${name}.hidden`), asset(name)),
});

function changed(more: string, says: RegExp): Break {
  let before = "";
  return {
    check: "config",
    says,
    break: async () => {
      before = await readFile(rack.configFile, "utf8");
      await writeFile(rack.configFile, before.replace(/^log:\n.*\n/m, "") + more);
    },
    mend: () => writeFile(rack.configFile, before),
  };
}

/** Provisions a node that has no BMC, and says that all is done by hand until it has its boot entry. */
async function provisionByHand(name: string, mac: string): Promise<void> {
  await rack.ingot("node", "add", name, "--mac", mac, "--network", "prov0", "--firmware", "bios");
  await rack.ingot("provision", name, "--image", "golden", "--no-wait");
  await until(`${name} has a boot entry`, async () => {
    await rack.ingot("node", "confirm", name).catch(() => {});
    return (await rack.ingotJson<Node>("node", "show", name)).boots !== undefined;
  });
}

describe("the doctor, on a node that is provisioned", () => {
  beforeAll(async () => {
    const image = join(STATE, "image.raw");
    await writeFile(image, Buffer.alloc(1024 * 1024, 7));
    await rack.importImage("golden", image, { phonesHome: false });
    await provisionByHand(MANUAL, "52:54:00:77:00:99");
    const [attached] = (await rack.ingotJson<Disk[]>("disk", "list")).filter((one) => one.node === MANUAL);
    if (!attached) throw new Error("no disk");
    disk = attached;
  });

  it("names the operation that waits for somebody", async () => {
    const says = /^warning: an operation waits for .* by hand -> .*ingot node confirm bench$/;
    await expect.poll(() => complaints("operations", MANUAL), PATIENT).toContainEqual(expect.stringMatching(says));
  });

  it("names a target that is gone only if it can't be made again", async () => {
    expect(await complaints("targets")).toEqual([]);
    const target = () => findTarget(rack, disk.id);
    const remove = async () => {
      const { iqn } = (await target()) ?? {};
      if (!iqn) throw new Error("no target");
      await daemon.removeTarget(CONTROL, iqn, AbortSignal.timeout(5000));
    };
    await remove();
    await expect.poll(target, PATIENT).toBeDefined();
    await expect.poll(() => complaints("targets"), PATIENT).toEqual([]);

    const file = join(rack.stateDirectory, "pool/disks", `${disk.id}.raw`);
    await rename(file, `${file}.hidden`);
    await remove();
    const says = /^failed: (there is no target|LUN 1 is missing).* -> .*is the file of disk/;
    await expect.poll(() => complaints("targets", MANUAL), PATIENT).toContainEqual(expect.stringMatching(says));
    await rename(`${file}.hidden`, file);
    await expect.poll(() => complaints("targets"), PATIENT).toEqual([]);
  });

  it("names a network whose addresses are all taken", async () => {
    expect(await complaints("addresses")).toEqual([]);
    await provisionByHand("second", "52:54:00:77:00:98");
    const says = /^failed: 0 of 2 free -> make networks\[\]\.pool larger/;
    expect(await complaints("addresses")).toEqual([expect.stringMatching(says)]);
  });

  it("names a BMC that is dead", async () => {
    await node.destroy();
    await expect
      .poll(() => complaints("bmcs", "node-1"), PATIENT)
      .toContainEqual(expect.stringMatching(/^failed: no answer within 8 s -> look at its cable/));
  });

  it("is missed himself: the command says why nobody answers", async () => {
    await rack.end("ingotd", "SIGKILL");
    await expect(rack.ingot("doctor")).rejects.toThrow(/nobody answers on .*api\.sock[\s\S]*remedy: .*systemctl/);
    await rack.startIngotd();
  });
});
