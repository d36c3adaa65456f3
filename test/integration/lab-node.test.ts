import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { claim, destroyEverything, findProcess, processRecord } from "../lab/lab-state.ts";
import { createLabNetwork, type LabNetwork } from "../lab/namespace.ts";
import { runProgram } from "../lab/program.ts";
import { createVirtualNode, type VirtualNode } from "../lab/virtual-node.ts";

/** The lab's own parts, without a boot server: nodes with nothing to boot from obey their BMCs, and nothing of them stays. */

const repository = resolve(import.meta.dirname, "../..");
const BRIDGE = { name: "br-prov", address: "10.20.0.1", prefix: 24 };
const FIRMWARE_MS = 60_000;

const stateDirectory = join(tmpdir(), "hdp-lab-node");
const lab = { stateDirectory, namespace: "hdp-lab-node", bridges: [BRIDGE] };

function ipmitool(network: LabNetwork, { bmc }: VirtualNode, ...command: string[]): Promise<string> {
  const session = ["-I", "lanplus", "-C", "3", "-H", bmc.address, "-p", String(bmc.port), "-U", bmc.user, "-E"];
  return network.run(["ipmitool", ...session, ...command], {
    env: { ...process.env, IPMI_PASSWORD: bmc.password },
  });
}

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error("it did not come to pass within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("a virtual node", () => {
  let network: LabNetwork;
  let node: VirtualNode;

  beforeAll(async () => {
    await destroyEverything(stateDirectory);
    network = await createLabNetwork(lab);
  });
  afterAll(() => destroyEverything(stateDirectory));

  describe("with BIOS", () => {
    beforeAll(async () => {
      const bmc = { address: "127.0.1.1" };
      node = await createVirtualNode(network, {
        ...{ name: "bios-1", mac: "52:54:00:77:01:01", firmware: "bios", bridge: BRIDGE.name, bmc },
      });
    });
    afterAll(() => node.destroy());
    beforeEach(async () => {
      await ipmitool(network, node, "chassis", "power", "off");
      await ipmitool(network, node, "chassis", "bootdev", "pxe", "options=persistent");
    });

    it("runs while its BMC says on, and not before", async () => {
      expect(await node.running()).toBe(false);
      expect(await ipmitool(network, node, "chassis", "power", "status")).toBe("Chassis Power is off\n");
      await ipmitool(network, node, "chassis", "power", "on");
      expect(await node.running()).toBe(true);
      expect(await ipmitool(network, node, "chassis", "power", "status")).toBe("Chassis Power is on\n");
      await ipmitool(network, node, "chassis", "power", "off");
      expect(await node.running()).toBe(false);
    });

    it("is a new machine after a reset, the same after a second power-on", async () => {
      await ipmitool(network, node, "chassis", "power", "on");
      const first = await findProcess(stateDirectory, "bios-1.qemu");
      await ipmitool(network, node, "chassis", "power", "on");
      expect(await findProcess(stateDirectory, "bios-1.qemu")).toBe(first);
      await ipmitool(network, node, "chassis", "power", "reset");
      expect(await findProcess(stateDirectory, "bios-1.qemu")).not.toBe(first);
    });

    it("boots from where its BMC says, a running one from its next reboot on", async () => {
      let since = await node.console.mark();
      await ipmitool(network, node, "chassis", "power", "on");
      await node.console.waitForLine(/^Booting from ROM/, FIRMWARE_MS, since);
      expect((await node.console.lines(since)).join("\n")).not.toContain("Hard Disk");
      await ipmitool(network, node, "chassis", "bootdev", "disk", "options=persistent");
      since = await node.console.mark();
      const monitor = `UNIX:${join(node.directory, "monitor.sock")}`;
      await runProgram("socat", ["-t", "0.2", "-", monitor], { input: "system_reset\n" });
      await node.console.waitForLine(/^Booting from Hard Disk/, FIRMWARE_MS, since);
      expect((await node.console.lines(since)).join("\n")).not.toMatch(/Booting from ROM.*Booting from Hard Disk/s);
    });

    it("hears what is typed on its console", async () => {
      const since = await node.console.mark();
      await ipmitool(network, node, "chassis", "power", "on");
      await node.console.waitForLine(/Ctrl-B for the iPXE command line/, FIRMWARE_MS, since);
      node.console.write("\x02");
      await node.console.waitForLine(/iPXE>/, FIRMWARE_MS, since);
    });

    it("shows and hears the same line over LAN", async () => {
      await ipmitool(network, node, "chassis", "power", "on");
      const session = [
        "-I",
        "lanplus",
        "-C",
        "3",
        "-H",
        node.bmc.address,
        "-U",
        node.bmc.user,
        "-E",
        "sol",
        "activate",
      ];
      const command = network.inside(["ipmitool", ...session]).join(" ");
      // ipmitool wants a terminal for SOL
      const sol = spawn("script", ["-qfec", command, "/dev/null"], {
        env: { ...process.env, IPMI_PASSWORD: node.bmc.password },
      });
      try {
        let heard = "";
        sol.stdout.on("data", (chunk) => {
          heard += chunk;
        });
        await until(() => heard.includes("SOL Session operational"));
        await ipmitool(network, node, "chassis", "power", "reset");
        await until(() => heard.includes("Ctrl-B for the iPXE command line"));
        sol.stdin.write("\x02");
        await until(() => heard.includes("iPXE>"));
      } finally {
        sol.kill("SIGKILL");
      }
    });
  });

  it("reaches its network card with UEFI too", async () => {
    const uefi = await createVirtualNode(network, {
      ...{ name: "uefi-1", mac: "52:54:00:77:01:02", firmware: "uefi", bridge: BRIDGE.name, loader: "firmware" },
      bmc: { address: "127.0.1.2" },
    });
    await ipmitool(network, uefi, "chassis", "bootdev", "pxe", "options=persistent,efiboot");
    await ipmitool(network, uefi, "chassis", "power", "on");
    await uefi.console.waitForLine(/Start PXE over IPv4/, FIRMWARE_MS);
    await uefi.destroy();
    await uefi.destroy();
    expect(await uefi.running()).toBe(false);
  });

  it("leaves room for programs of user nobody, who find the repository and may bind low ports", async () => {
    const node = join(network.repository, relative(repository, process.execPath));
    const script = `
      console.log(process.getuid(), require("node:fs").readFileSync("package.json", "utf8"));
      const socket = require("node:dgram").createSocket("udp4");
      socket.bind(67, "10.20.0.1", () => { console.log("bound"); socket.close(); });`;
    const child = await network.startUnprivileged([node, "-e", script], { name: "nobody" });
    let output = "";
    child.stdout?.on("data", (chunk) => {
      output += chunk;
    });
    await once(child, "close");
    expect(output).toMatch(/^65534 /);
    expect(output).toContain('"name": "ingot"');
    expect(output).toContain("bound");
  });
});

describe("destroying a lab", () => {
  afterEach(() => destroyEverything(stateDirectory));

  it("finds everything that a killed lab left behind", async () => {
    const script = `
      const { createLabNetwork } = await import("${import.meta.dirname}/../lab/namespace.ts");
      const { createVirtualNode } = await import("${import.meta.dirname}/../lab/virtual-node.ts");
      const network = await createLabNetwork(${JSON.stringify(lab)});
      const node = await createVirtualNode(network, { name: "left", mac: "52:54:00:77:01:03", firmware: "bios",
        bridge: "${BRIDGE.name}", bmc: { address: "127.0.1.3", password: "left-behind" } });
      await network.run(["ipmitool", "-I", "lanplus", "-C", "3", "-H", "127.0.1.3", "-U", "admin", "-E", "chassis", "power", "on"],
        { env: { ...process.env, IPMI_PASSWORD: "left-behind" } });
      console.log("on");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "close");
    const left = await Promise.all(["bmc", "sol", "qemu"].map((part) => findProcess(stateDirectory, `left.${part}`)));
    expect(left).not.toContain(undefined);

    await destroyEverything(stateDirectory);
    await destroyEverything(stateDirectory);
    for (const pid of left) expect(existsSync(`/proc/${pid}`) && !isZombie(pid!)).toBe(false);
    expect(await runProgram("ip", ["netns", "list"])).not.toContain(lab.namespace);
    expect(existsSync(stateDirectory)).toBe(false);
  });

  it("touches nothing while another process owns it", async () => {
    const script = `await (await import("${import.meta.dirname}/../lab/lab-state.ts")).claim("${stateDirectory}");
      console.log("claimed");
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await once(owner.stdout, "data");
      await expect(destroyEverything(stateDirectory)).rejects.toThrow(`belongs to process ${owner.pid}, which runs`);
      await expect(claim(stateDirectory)).rejects.toThrow("choose another directory");
      expect(existsSync(stateDirectory)).toBe(true);
    } finally {
      owner.kill("SIGKILL");
      await once(owner, "close");
    }
    await claim(stateDirectory);
  });

  it("does not touch a process that got the pid of one of the lab's", async () => {
    const stranger = spawn("sleep", ["1000"]);
    try {
      mkdirSync(join(stateDirectory, "processes"), { recursive: true });
      writeFileSync(processRecord(stateDirectory, "gone"), `${stranger.pid} 1\n`);
      await destroyEverything(stateDirectory);
      expect(stranger.exitCode).toBeNull();
      expect(isZombie(stranger.pid!)).toBe(false);
    } finally {
      stranger.kill();
    }
  });

  it("unmounts what was mounted below its directory", async () => {
    const mountPoint = join(stateDirectory, "pool");
    mkdirSync(mountPoint, { recursive: true });
    await runProgram("mount", ["-t", "tmpfs", "tmpfs", mountPoint]);
    await destroyEverything(stateDirectory);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(mountPoint);
  });
});

function isZombie(pid: number): boolean {
  return /^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
