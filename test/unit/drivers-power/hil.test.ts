import { afterEach, describe, expect, it } from "vitest";
import { HilIsolator } from "../../../src/drivers/isolation/hil.ts";
import { HilClient } from "../../../src/drivers/isolation/hil-client.ts";
import { createPowerControls } from "../../../src/drivers/power/create-power-controls.ts";
import type { PowerControl } from "../../../src/drivers/power/power-control.ts";
import { type HilRack, PASSWORD, startHilRack } from "../../fakes/hil/rack.ts";

/** Power through HIL's OBM: what the contract of all power controls does not say. */

const signal = () => AbortSignal.timeout(20_000);
let rack: HilRack;
afterEach(() => rack.stop());

async function start(options: Parameters<typeof startHilRack>[0] = {}, seconds = 5): Promise<PowerControl> {
  rack = await startHilRack(options);
  if (options.user !== "tenant")
    for (const { name } of rack.hil.world.nodes.values()) rack.hil.world.node(name).project = "p";
  return power("n1", seconds);
}
const power = (node: string, obmSeconds = 5) =>
  createPowerControls({ confirm: async () => {}, callSeconds: 1, obmSeconds })({
    driver: "hil",
    node,
    hil: rack.account,
  });
const failure = async (promise: Promise<unknown>) =>
  await promise.then(
    () => expect.fail("it was done"),
    (error) => error,
  );
const enables = () => rack.hil.seen.filter(({ path }) => path.endsWith("/obm")).length;
const machine = () => rack.obmd.machines.get("n1");

describe("power through HIL", () => {
  it("does what OBMd can, the OBM enabled once, and sends OBMd none of HIL's credentials", async () => {
    const node = await start();
    expect(await node.status(signal())).toBe("off");
    await node.on(signal());
    await node.reset(signal());
    await node.setBootDevice("network", "bios", signal());
    expect(machine()).toMatchObject({ power: "on", bootDevice: "pxe" });
    await node.setBootDevice("disk", "uefi", signal());
    await node.off(signal());
    expect(machine()).toMatchObject({ power: "off", bootDevice: "disk" });
    expect(enables()).toBe(1);
    const ours = rack.obmd.seen.filter(({ path }) => !path.endsWith("/token"));
    expect(ours.map(({ method, path }) => `${method} ${path.replace(/^.*\/(\w+)\?.*$/, "$1")}`)).toEqual([
      "GET power_status",
      "POST power_on",
      "GET power_status",
      "POST power_cycle",
      "PUT boot_device",
      "PUT boot_device",
      "POST power_off",
    ]);
    expect(ours[3]?.body).toBe('{"force":true}');
    expect(ours.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it("leaves a machine that is off as it is, asked to restart or to shut down", async () => {
    const node = await start();
    await node.reset(signal());
    await node.softOff(signal());
    expect(rack.obmd.seen.some(({ path }) => path.includes("power_cycle"))).toBe(false);
  });

  it("says UNSUPPORTED of what HIL can't: an orderly shutdown, the BMC's log, a device that the BMC's driver lacks", async () => {
    const node = await start();
    await node.on(signal());
    const mock = rack.obmd.machines.get("n2");
    if (mock) mock.driver = "mock";
    const calls = [
      node.softOff(signal()),
      node.sinceRestart(signal()),
      power("n2").setBootDevice("disk", "bios", signal()),
    ];
    for (const error of await Promise.all(calls.map(failure)))
      expect(error).toMatchObject({ code: "UNSUPPORTED", details: { remedy: expect.any(String) } });
    expect(machine()?.power).toBe("on");
    // one that tells no state is not taken for off
    expect(await failure(power("n2").status(signal()))).toMatchObject({ code: "DRIVER_FAILED" });
  });

  it("enables the OBM anew, once, when OBMd has forgotten the token", async () => {
    const node = await start();
    await node.on(signal());
    rack.obmd.restart();
    expect(await node.status(signal())).toBe("on");
    expect(enables()).toBe(2);
    for (let time = 0; time < 2; time++) rack.obmd.faults.add({ call: /power_status/, answer: "unauthorized" });
    const error = await failure(node.status(signal()));
    expect(error).toMatchObject({ code: "DRIVER_FAILED", retryable: true });
    expect(enables()).toBe(3);
  });

  it("makes one call at a time for all nodes of an OBMd, each with a deadline from its turn on", async () => {
    await start();
    rack.obmd.faults.add({ call: /power_status/, answer: "hang" });
    const controls = createPowerControls({ confirm: async () => {}, callSeconds: 1, obmSeconds: 0.5 });
    const [first, second] = ["n1", "n2"].map((node) => controls({ driver: "hil", node, hil: rack.account }));
    const hanging = failure(first!.status(signal()));
    await expect.poll(() => rack.obmd.faults.left).toBe(0);
    const asked = () => rack.obmd.seen.filter(({ path }) => path.includes("n2/power_status")).length;
    const waiting = second!.status(signal());
    await expect.poll(enables).toBe(2);
    expect(asked()).toBe(0);
    expect(await hanging).toMatchObject({ code: "TIMEOUT" });
    expect(await waiting).toBe("off");
    expect(asked()).toBe(1);
  });

  it("asks HIL of a few nodes at a time, whoever asks", async () => {
    await start({ nodes: 12 });
    let asking = 0;
    let most = 0;
    const real = globalThis.fetch;
    globalThis.fetch = async (...call) => {
      if (!String(call[0]).startsWith(rack.hil.url)) return await real(...call);
      most = Math.max(most, ++asking);
      return await real(...call).finally(() => asking--);
    };
    try {
      const controls = createPowerControls({ confirm: async () => {}, callSeconds: 5 });
      const nodes = [...rack.hil.world.nodes.keys()];
      const states = await Promise.all(
        nodes.map((node) => controls({ driver: "hil", node, hil: { ...rack.account } }).status(signal())),
      );
      expect(states).toEqual(nodes.map(() => "off"));
    } finally {
      globalThis.fetch = real;
    }
    expect(most).toBeLessThanOrEqual(4);
  });

  it("lets its node be freed, though the OBM was enabled", async () => {
    const node = await start();
    const isolator = new HilIsolator(new HilClient(rack.account), { pollMs: 5 });
    await isolator.allocate("n1", "p", signal());
    await node.on(signal());
    await node.off(signal());
    await isolator.free("n1", "p", signal());
    expect(machine()?.token).toBeUndefined();
    expect(rack.hil.world.nodes.get("n1")).toMatchObject({ project: null });
  });

  it("leaves no way to the BMC of a node that nobody has", async () => {
    const node = await start();
    rack.hil.world.node("n1").project = null;
    expect(await node.status(signal())).toBe("off");
    expect(rack.hil.world.node("n1").token).toBeUndefined();
    // one that was given away in between
    rack.hil.world.node("n1").project = "p";
    await node.on(signal());
    rack.hil.faults.add({
      call: /PUT .*obm/,
      answer: "delay",
      meanwhile: () => {
        rack.hil.world.node("n1").project = null;
      },
    });
    rack.obmd.restart();
    await node.off(signal());
    expect(machine()?.power).toBe("off");
    expect(rack.hil.world.node("n1").token).toBeUndefined();
  });

  it("says FORBIDDEN for a node of others", async () => {
    await start({ user: "tenant" });
    expect(await failure(power("n1").status(signal()))).toMatchObject({ code: "FORBIDDEN" });
  });
});

describe("a failure of power through HIL", () => {
  const faults = [
    [
      "OBMd fails, as when the BMC refuses",
      () => rack.obmd.faults.add({ call: /power_on/, answer: "html-500" }),
      "DRIVER_FAILED",
    ],
    ["OBMd hangs", () => rack.obmd.faults.add({ call: /power_on/, answer: "hang" }), "TIMEOUT"],
    ["OBMd breaks off", () => rack.obmd.faults.add({ call: /power_on/, answer: "cut" }), "UNAVAILABLE"],
    ["OBMd is down", () => rack.obmd.stop(), "UNAVAILABLE"],
    ["OBMd does not know the node", () => rack.obmd.machines.clear(), "DRIVER_FAILED"],
    ["HIL can't reach OBMd", () => rack.hil.faults.add({ call: /PUT .*obm/, answer: "html-500" }), "DRIVER_FAILED"],
    ["HIL hangs", () => rack.hil.faults.add({ call: /power_on/, answer: "hang" }), "UNAVAILABLE"],
    ["HIL answers garbage", () => rack.hil.faults.add({ call: /power_on/, answer: "garbage" }), "DRIVER_FAILED"],
    ["HIL is down", () => rack.hil.stop(), "UNAVAILABLE"],
  ] as const;
  it.each(faults)(
    "%s: says so, repeats no token or password, and the next call may do it",
    async (what, fault, code) => {
      const node = await start({}, 0.5);
      const isEnabledLater = what === "HIL can't reach OBMd";
      if (!isEnabledLater) await node.status(signal());
      const { token } = machine() ?? {};
      await fault();
      const error = await failure(node.on(signal()));
      expect(error).toMatchObject({ code, details: { driver: "hil" } });
      const told = JSON.stringify([error.message, error.details, String(error.cause), String(error.cause?.cause)]);
      for (const secret of ["token=", PASSWORD, "Basic ", token ?? "token="]) expect(told).not.toContain(secret);
      if (/down|know/.test(what)) return;
      await node.on(signal());
      expect(machine()?.power).toBe("on");
    },
  );

  it("stop of a caller ends a call that others keep waiting", async () => {
    const node = await start();
    await node.status(signal());
    rack.obmd.faults.add({ call: /power_on/, answer: "hang" });
    const gone = new AbortController();
    const first = failure(node.on(gone.signal));
    const second = failure(node.off(gone.signal));
    await expect.poll(() => rack.obmd.faults.left).toBe(0);
    gone.abort();
    expect(await first).toMatchObject({ code: "CANCELLED" });
    expect(await second).toMatchObject({ code: "CANCELLED" });
    expect(await node.status(signal())).toBe("off");
  });
});
