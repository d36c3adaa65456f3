import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const units = join(import.meta.dirname, "../../systemd");
const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;
if (!hasSystemd) console.log("units are not verified: systemd-analyze (package systemd) is not installed");

const unitFiles = readdirSync(units).filter((file) => /\.(service|socket)$/.test(file));

/** Of each provisioning network. */
const SOCKETS = ["dhcp", "dhcp-probe", "pxe", "tftp", "http"];

/** The values of a key, as the unit file has them. */
function settings(file: string, key: string): string[] {
  const lines = readFileSync(join(units, file), "utf8").split("\n");
  return lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));
}

describe.skipIf(!hasSystemd)("systemd", () => {
  let directory: string;
  /** The units under instance names, with this Node in the place of the installed one. */
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "ingot-units-"));
    execFileSync("sh", [join(units, "add-network.sh"), "eth1", "1", "8080", directory]);
    const ceph = ["--ceph", "eth3", "10.30.0.21/24"];
    const isolated = ["--portal", "10.20.1.2/24", ...ceph, "eth2.101", "2", "8081", directory];
    execFileSync("sh", [join(units, "add-network.sh"), ...isolated]);
    for (const file of unitFiles) {
      const text = readFileSync(join(units, file), "utf8").replaceAll("/usr/lib/ingot/node", process.execPath);
      writeFileSync(join(directory, file), text);
    }
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  function verify(...names: string[]): string {
    for (const name of names) {
      const template = name.replace(/@[^.]+/, "@");
      if (template !== name) symlinkSync(template, join(directory, name));
    }
    const { stdout, stderr, status } = spawnSync(
      "systemd-analyze",
      ["verify", "--man=no", "--recursive-errors=yes", ...names.map((name) => join(directory, name))],
      { encoding: "utf8", env: { ...process.env, SYSTEMD_UNIT_PATH: `${directory}:` } },
    );
    const ours = `${stdout}${stderr}`.split("\n").filter((line) => /ingot/.test(line));
    return status === 0 ? "" : ours.join("\n") || `${status}`;
  }

  it("accepts every unit", () => {
    const names = unitFiles.map((file) => file.replace("@.service", "@1.service").replace("@.socket", "@eth1.socket"));
    expect(names).toContain("ingot-dhcp@eth1.socket");
    expect(verify(...names)).toBe("");
  });

  it("has the tgtd of an isolated network, and what looks at it, in a network namespace of its own", () => {
    const written = (file: string) => readFileSync(join(directory, file), "utf8");
    const space = "NetworkNamespacePath=/run/netns/ingot-eth2.101";
    const tgtd = written("ingot-tgtd@2.service.d/namespace.conf");
    expect(tgtd).toContain(`[Service]\n${space}\n`);
    // what stops the other shall not stop it: nodes hang on it
    expect(tgtd).not.toMatch(/Requires|BindsTo|PartOf/);
    const settings = written("ingot-isolated-network@eth2.101.service.d/portal.conf").split("\n");
    expect(settings).toContain("Environment=PORTAL=10.20.1.2/24");
    expect(settings).toContain('Environment="CEPH=eth3 10.30.0.21/24"');
    expect(written("ingot-http-portal@eth2.101.socket.d/port.conf")).toContain("ListenStream=0.0.0.0:8081");
    const names = ["tgtd@2.service", "isolated-network@eth2.101.service"];
    const sockets = ["peers", "http-portal", "http", "dhcp"].map((name) => `${name}@eth2.101.socket`);
    expect(verify(...[...names, ...sockets].map((name) => `ingot-${name}`))).toBe("");
    expect(existsSync(join(directory, "ingot-tgtd@1.service.d"))).toBe(false);
  });

  it("gives a network's tgtd back to the machine when it is added without portal", () => {
    const again = mkdtempSync(join(tmpdir(), "ingot-units-"));
    try {
      const add = (...words: string[]) => execFileSync("sh", [join(units, "add-network.sh"), ...words, "80", again]);
      add("--portal", "10.20.1.2/24", "eth2", "2");
      add("eth2", "2");
      expect(existsSync(join(again, "ingot-tgtd@2.service.d/namespace.conf"))).toBe(false);
      expect(existsSync(join(again, "ingot-isolated-network@eth2.service.d/portal.conf"))).toBe(false);
    } finally {
      rmSync(again, { recursive: true });
    }
  });

  it.each([
    [["--portal", "eth2"], "ADDRESS/PREFIX"],
    [["--portal", "10.20.1.2"], "ADDRESS/PREFIX"],
    [["--portal", "10.20.1.2/24", "--ceph", "eth3", "10.30.0.21"], "ADDRESS/PREFIX"],
    [["--portal", "10.20.1.2/24", "--ceph", "eth 3", "10.30.0.21/24"], "interface"],
    [["--ceph", "eth3", "10.30.0.21/24"], "usage"],
  ])("refuses %j", (words, message) => {
    const argv = [join(units, "add-network.sh"), ...words, "eth2", "2", "80", directory];
    const refused = spawnSync("sh", argv, { encoding: "utf8" });
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining(message) });
  });

  it("has every socket of a network bound to its interface, on the port that was named", () => {
    for (const name of SOCKETS) {
      const settings = readFileSync(join(directory, `ingot-${name}@eth1.socket.d/interface.conf`), "utf8");
      expect(settings).toContain("[Socket]\nBindToDevice=eth1\n");
      expect(settings.endsWith("ListenStream=\nListenStream=0.0.0.0:8080\n")).toBe(name === "http");
    }
  });

  it("has radvd answer on the network's interface, with a file that radvd takes", () => {
    const file = join(directory, "router-advertisements/eth1.conf");
    expect(readFileSync(file, "utf8")).toContain("\ninterface eth1 {\n");
    execFileSync("radvd", ["--configtest", "--config", file], { stdio: "ignore" });
    writeFileSync(file, "interface {");
    expect(spawnSync("radvd", ["--configtest", "--config", file]).status).not.toBe(0);
  });

  it("would complain of a broken unit", () => {
    copyFileSync(join(directory, "ingot.service"), join(directory, "ingot-broken.service"));
    const text = readFileSync(join(directory, "ingot-broken.service"), "utf8");
    writeFileSync(join(directory, "ingot-broken.service"), text.replace("Type=notify", "Type=notfy"));
    expect(verify("ingot-broken.service")).toMatch(/notfy|Failed to parse/);
  });

  it("finds ingotd well confined", () => {
    const args = ["security", "--offline=yes", "--threshold=25", "--no-pager", join(directory, "ingot.service")];
    const { status, stdout, stderr } = spawnSync("systemd-analyze", args, { encoding: "utf8" });
    expect(status, `${stderr}${stdout.split("\n").slice(-2).join("\n")}`).toBe(0);
  });
});

describe("the units", () => {
  it("name their sockets as ingotd asks for them, and start none that is bound to no interface", () => {
    for (const name of SOCKETS) {
      const file = `ingot-${name}@.socket`;
      expect(settings(file, "FileDescriptorName")).toEqual([`${name}-%i`]);
      expect(settings(file, "AssertPathExists")).toEqual([
        `/etc/systemd/system/ingot-${name}@%i.socket.d/interface.conf`,
      ]);
      expect(settings(file, "Service")).toEqual(["ingot.service"]);
      const [address] = [...settings(file, "ListenDatagram"), ...settings(file, "ListenStream")];
      expect(address).toMatch(/^0\.0\.0\.0:(67|68|69|80|4011)$/);
    }
    expect(settings("ingot-storaged.socket", "FileDescriptorName")).toEqual(["storaged"]);
  });

  it("give ingotd no capability, and never stop tgtd along with another unit", () => {
    expect(settings("ingot.service", "CapabilityBoundingSet")).toEqual([""]);
    expect(settings("ingot.service", "User")).toEqual(["ingot"]);
    for (const key of ["PartOf", "BindsTo", "Requires"]) expect(settings("ingot-tgtd@.service", key)).toEqual([]);
  });

  it("let storaged grow the pool file that install.sh makes, and touch no other device", () => {
    const [file] = /^pool_file=(.*)$/m.exec(readFileSync(join(units, "install.sh"), "utf8"))!.slice(1);
    expect(settings("ingot-storaged.service", "ReadWritePaths")).toEqual([
      `/var/lib/ingot-pool -${file} -/var/lib/ingot-export`,
    ]);
    expect(settings("ingot-storaged.service", "DevicePolicy")).toEqual(["closed"]);
    expect(settings("ingot-storaged.service", "DeviceAllow")).toEqual(["block-loop rw"]);
    expect(settings("ingot-storaged.service", "CapabilityBoundingSet")[0]).toContain("CAP_SYS_ADMIN");
  });

  it("are started again however often they fail", () => {
    for (const file of unitFiles.filter((one) => one.endsWith(".service"))) {
      expect(settings(file, "StartLimitIntervalSec"), file).toEqual(["0"]);
    }
  });

  it("start each tgtd on a loopback port of its own", () => {
    const [start] = settings("ingot-tgtd@.service", "ExecStart");
    const script = /^\/bin\/sh -c '(.*)'$/.exec(start!)?.[1]?.replaceAll("%i", "7").replaceAll("$$", "$");
    const printed = execFileSync("sh", ["-c", script!.replace("exec /usr/sbin/tgtd", "echo")], { encoding: "utf8" });
    expect(printed.trim()).toBe("-f -C 7 -t 8 --iscsi nop_interval=5,nop_count=2000000000,portal=127.0.0.1:32607");
  });

  it("come with scripts that a shell can read", () => {
    for (const script of ["install.sh", "add-network.sh", "isolate-network.sh"])
      execFileSync("sh", ["-n", join(units, script)]);
    const { status, stderr } = spawnSync("sh", [join(units, "add-network.sh"), "../x", "1", "80", "/nowhere"]);
    expect([status, String(stderr)]).toEqual([2, 'add-network.sh: "../x" is no interface name\n']);
  });
});
