import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { HilIsolator } from "../../../src/drivers/isolation/hil.ts";
import type { HilAccount } from "../../../src/drivers/isolation/hil-account.ts";
import { HilClient } from "../../../src/drivers/isolation/hil-client.ts";
import type { Attachment } from "../../../src/drivers/isolation/network-isolator.ts";
import { type HilRack, PASSWORD, startHilRack } from "../../fakes/hil/rack.ts";

/** What HIL alone makes an isolator do. */

const signal = () => AbortSignal.timeout(20_000);
let rack: HilRack;
afterEach(() => rack.stop());

async function start(
  options: Parameters<typeof startHilRack>[0] & { actionSeconds?: number; callSeconds?: number } = {},
): Promise<HilIsolator> {
  rack = await startHilRack({ daemonMs: 10, ...options });
  return isolator(rack.account, options);
}
const isolator = (account: HilAccount, { actionSeconds = 5, callSeconds = 2 } = {}) =>
  new HilIsolator(new HilClient(account, { callSeconds }), { actionSeconds, pollMs: 5 });
const node = (name: string) => {
  const found = rack.hil.world.nodes.get(name);
  if (!found) throw new Error(name);
  return found;
};
const networks = (name: string, nic = "eth0") => Object.fromEntries(node(name).nics.get(nic)?.networks ?? []);
const native = (network: string, name = "n1", nic = "eth0"): Attachment => ({
  node: name,
  nic,
  network,
  channel: "native",
});
const failure = async (promise: Promise<unknown>) =>
  await promise.then(
    () => expect.fail("it was done"),
    (error) => error,
  );

describe("nodes", () => {
  it("are shown with their NICs, with the MACs that are some, and where they are attached", async () => {
    const hil = await start();
    node("n1").project = "p";
    const [eth0, eth1] = node("n1").nics.values();
    if (eth0) eth0.macaddr = "52-54-00-AB-CD-EF";
    if (eth1) eth1.macaddr = "not a mac";
    eth0?.networks.set("vlan/101", "tenant").set("vlan/native", "prov");
    const [first, second] = await hil.nodes(signal());
    expect(first).toEqual({
      name: "n1",
      project: "p",
      nics: [
        {
          name: "eth0",
          mac: "52:54:00:ab:cd:ef",
          networks: [
            { network: "tenant", channel: "tagged" },
            { network: "prov", channel: "native" },
          ],
        },
        { name: "eth1", networks: [] },
      ],
    });
    expect(second).toMatchObject({ name: "n2" });
    expect(second).not.toHaveProperty("project");
  });

  it("of others are left out, where HIL hides them from its user", async () => {
    const hil = await start({ user: "tenant" });
    node("n2").project = "q";
    expect((await hil.nodes(signal())).map(({ name }) => name)).toEqual(["n1"]);
    expect(await failure(hil.node("n2", signal()))).toMatchObject({ code: "FORBIDDEN" });
    expect(await failure(hil.allocate("n2", "p", signal()))).toMatchObject({ code: "CONFLICT" });
  });

  it.each(["", ".", "..", "n1/nic/eth0", "../projects"])("called %j can't be", async (name) => {
    const hil = await start();
    expect(await failure(hil.node(name, signal()))).toMatchObject({ code: "INVALID", details: { value: name } });
    expect(rack.hil.seen).toEqual([]);
  });
});

describe("allocation", () => {
  it("is ours only when it stays ours: HIL tells two at once that they have it", async () => {
    const hil = await start();
    rack.hil.faults.add({
      call: /connect_node/,
      done: true,
      answer: "delay",
      meanwhile: () => {
        node("n1").project = "q";
      },
    });
    expect(await failure(hil.allocate("n1", "p", signal()))).toMatchObject({
      code: "CONFLICT",
      details: { owner: "q" },
    });
  });

  it("is lost also to one who comes a moment later", async () => {
    const hil = await start();
    const looks = /GET .*node\/n1/;
    rack.hil.faults.add({
      call: looks,
      after: 1,
      done: true,
      answer: "delay",
      meanwhile: () => {
        node("n1").project = "q";
      },
    });
    expect(await failure(hil.allocate("n1", "p", signal()))).toMatchObject({ code: "CONFLICT" });
  });

  it("ends with the OBM disabled, and not while a NIC is attached", async () => {
    const hil = await start();
    await hil.allocate("n1", "p", signal());
    await hil.ensureAttached(native("prov"), signal());
    node("n1").token = "a token";
    expect(await failure(hil.free("n1", "p", signal()))).toMatchObject({
      code: "CONFLICT",
      details: { attached: ["eth0 in prov"] },
    });
    expect(node("n1").token).toBe("a token");
    await hil.ensureDetached(native("prov"), signal());
    await hil.free("n1", "p", signal());
    expect(node("n1")).toMatchObject({ project: null });
    expect(node("n1").token).toBeUndefined();
  });

  it("does not end while an action of nobody knows whom is under way", async () => {
    const hil = await start({ daemonMs: undefined, actionSeconds: 0.3 });
    node("n1").project = "p";
    await failure(hil.ensureAttached(native("prov"), signal()));
    const error = await failure(hil.free("n1", "p", signal()));
    expect(error).toMatchObject({ code: "TIMEOUT", details: { reason: expect.stringContaining("pending") } });
    expect(node("n1").project).toBe("p");
  });
});

describe("networks", () => {
  it("get their VLAN from HIL's pool, or are the admin's with the VLAN that is named", async () => {
    const hil = await start();
    expect(await hil.ensureNetwork({ name: "a", project: "p" }, signal())).toEqual({ vlan: 102 });
    expect(await hil.ensureNetwork({ name: "b", project: "p", vlan: 3000 }, signal())).toEqual({ vlan: 3000 });
    expect(await hil.ensureNetwork({ name: "c" }, signal())).toEqual({ vlan: 103 });
    const { world } = rack.hil;
    expect(["a", "b", "c"].map((name) => world.networks.get(name))).toMatchObject([
      { owner: "p", access: ["p"] },
      { owner: "admin", access: ["p"] },
      { owner: "admin", access: null },
    ]);
  });

  it("says so when the pool is used up, with what to look at", async () => {
    const hil = await start();
    for (const name of ["a", "b", "c"]) await hil.ensureNetwork({ name }, signal());
    expect(await failure(hil.ensureNetwork({ name: "d" }, signal()))).toMatchObject({
      code: "DRIVER_FAILED",
      details: { remedy: expect.stringContaining("used up") },
    });
  });

  it("is tagged by the VLAN that HIL chose", async () => {
    const hil = await start();
    node("n1").project = "p";
    await hil.ensureAttached({ ...native("tenant"), channel: "tagged" }, signal());
    await hil.ensureAttached(native("prov"), signal());
    expect(networks("n1")).toEqual({ "vlan/101": "tenant", "vlan/native": "prov" });
  });
});

describe("actions", () => {
  it("of one NIC come one after the other, of many nodes at the same time", async () => {
    const hil = await start({ nodes: 8, daemonMs: undefined });
    const names = [...rack.hil.world.nodes.keys()];
    for (const name of names) node(name).project = "p";
    const done = names.flatMap((name) => [
      hil.ensureAttached(native("prov", name), signal()),
      hil.ensureAttached({ ...native("tenant", name), channel: "tagged" }, signal()),
    ]);
    const pending = () => names.filter((name) => node(name).nics.get("eth0")?.action?.status === "PENDING");
    await expect.poll(pending).toEqual(names);
    // one look of the daemon does one action of each node; two looks, both
    rack.hil.daemon.start();
    await rack.hil.daemon.round();
    await expect.poll(pending).toEqual(names);
    await rack.hil.daemon.round();
    await Promise.all(done);
    expect(names.map((name) => Object.keys(networks(name)).sort())).toEqual(
      names.map(() => ["vlan/101", "vlan/native"]),
    );
    const refused = rack.hil.seen.filter(({ path }) => path.endsWith("connect_network")).length;
    expect(refused).toBe(2 * names.length);
  });

  it("are asked for ever more slowly", async () => {
    const hil = await start({ daemonMs: undefined, actionSeconds: 0.5 });
    node("n1").project = "p";
    expect(await failure(hil.ensureAttached(native("prov"), signal()))).toMatchObject({ code: "TIMEOUT" });
    // half a second in steps of 5, 10, and then 20 ms
    const polls = rack.hil.seen.filter(({ path }) => path.includes("networking_action")).length;
    expect(polls).toBeLessThan(28);
  });

  it("wait for one that another began on that NIC", async () => {
    const hil = await start({ daemonMs: undefined });
    const other = isolator(rack.account);
    node("n1").project = "p";
    const first = other.ensureAttached(native("prov"), signal());
    await expect.poll(() => node("n1").nics.get("eth0")?.action).toBeDefined();
    const second = hil.ensureAttached({ ...native("tenant"), channel: "tagged" }, signal());
    await expect
      .poll(() => rack.hil.seen.filter(({ path }) => path.endsWith("connect_network")).length)
      .toBeGreaterThan(1);
    rack.hil.daemon.start(5);
    await Promise.all([first, second]);
    expect(Object.keys(networks("n1")).sort()).toEqual(["vlan/101", "vlan/native"]);
  });

  it("that HIL began unseen are awaited before a NIC counts as detached", async () => {
    const hil = await start({ daemonMs: undefined, actionSeconds: 1 });
    node("n1").project = "p";
    const gone = new AbortController();
    const left = failure(hil.ensureAttached(native("prov"), gone.signal));
    await expect.poll(() => node("n1").nics.get("eth0")?.action).toBeDefined();
    gone.abort();
    expect(await left).toMatchObject({ code: "CANCELLED", details: { holds: "unknown" } });
    const after = isolator(rack.account);
    const detached = after.ensureDetached(native("prov"), signal());
    await expect.poll(() => rack.hil.seen.some(({ path }) => path.endsWith("detach_network"))).toBe(true);
    rack.hil.daemon.start(5);
    await detached;
    await expect.poll(() => node("n1").nics.get("eth0")?.action?.status).toBe("DONE");
    expect(networks("n1")).toEqual({});
  });

  it("of somebody else that end just after the look are seen: what they took away is attached anew", async () => {
    const hil = await start({ daemonMs: 5 });
    node("n1").project = "p";
    const attached = node("n1").nics.get("eth0")!.networks;
    attached.set("vlan/native", "prov");
    const meanwhile = () => attached.clear();
    rack.hil.faults.add({ call: /^GET .*\/node\/n1$/, answer: "delay", meanwhile });
    await hil.ensureAttached(native("prov"), signal());
    expect(networks("n1")).toEqual({ "vlan/native": "prov" });
  });

  it("of somebody else that take away what is attached are waited for, and it is attached anew", async () => {
    const hil = await start({ daemonMs: undefined });
    rack.hil.daemon.start();
    node("n1").project = "p";
    node("n1").nics.get("eth0")?.networks.set("vlan/native", "prov");
    const authorization = `Basic ${Buffer.from(`admin:${PASSWORD}`).toString("base64")}`;
    const begun = await fetch(`${rack.hil.url}/v0/node/n1/nic/eth0/detach_network`, {
      ...{ method: "POST", headers: { authorization }, body: JSON.stringify({ network: "prov" }) },
    });
    expect(begun.status).toBe(202);
    let waitingFor = "";
    const attached = hil.ensureAttached(native("prov"), signal(), ({ reason }) => {
      waitingFor = reason;
    });
    // HIL's database has it still: that is no success
    await expect.poll(() => waitingFor, { timeout: 20_000 }).toContain("somebody else began");
    rack.hil.daemon.start(5);
    await attached;
    expect(networks("n1")).toEqual({ "vlan/native": "prov" });
    expect(node("n1").nics.get("eth0")?.action).toMatchObject({ status: "DONE", new_network: "prov" });
  });

  it("that stay PENDING end in TIMEOUT, with the reason, what the NIC is in, and what is left to be done", async () => {
    const hil = await start({ daemonMs: undefined, actionSeconds: 0.3 });
    node("n1").project = "p";
    const error = await failure(hil.ensureAttached(native("prov"), signal()));
    expect(error).toMatchObject({
      code: "TIMEOUT",
      retryable: true,
      details: {
        node: "n1",
        nic: "eth0",
        network: "prov",
        reason: expect.stringContaining("PENDING"),
        remedy: expect.stringContaining("serve-networks"),
        holds: [],
        pending: node("n1").nics.get("eth0")?.action?.id,
      },
    });
    expect(error.message).toContain("it is in no network now");
  });

  it("that the switch refuses end in DRIVER_FAILED, and the NIC is in what it was left in", async () => {
    const hil = await start();
    node("n1").project = "p";
    await hil.ensureAttached(native("prov"), signal());
    rack.hil.daemon.refuses = ({ new_network }) => new_network === "tenant";
    const error = await failure(hil.ensureAttached(native("tenant"), signal()));
    expect(error).toMatchObject({ code: "DRIVER_FAILED", details: { holds: [], remedy: expect.any(String) } });
    expect(error.details).not.toHaveProperty("pending");
    expect(networks("n1")).toEqual({});
    rack.hil.daemon.refuses = () => false;
    await hil.ensureAttached(native("tenant"), signal());
    expect(networks("n1")).toEqual({ "vlan/native": "tenant" });
  });

  it.each([
    [{ nic: "eth7" }, "NOT_FOUND", /eth0, eth1/],
    [{ network: "nosuch" }, "NOT_FOUND", /./],
    [{ node: "nosuch" }, "NOT_FOUND", /./],
    [{ network: "prov", node: "n2" }, "CONFLICT", /not in project/],
  ])("are refused at once for %j", async (wrong, code, told) => {
    const hil = await start();
    node("n1").project = "p";
    const error = await failure(hil.ensureAttached({ ...native("prov"), ...wrong }, signal()));
    expect(error).toMatchObject({ code, details: { remedy: expect.any(String) } });
    expect(`${error.message} ${error.details.remedy}`).toMatch(told);
  });
});

describe("answers", () => {
  it.each([
    ["a wrong password", { user: "admin", password: "wrong-horse" }],
    ["a user that HIL does not know, of which it says 404", { user: "nobody", password: "wrong-horse" }],
    ["no token that HIL takes", { token: "wrong-horse" }],
  ])("to %s are UNAUTHENTICATED, and repeat no secret", async (_, credentials) => {
    await start();
    const hil = isolator({ url: rack.account.url, credentials });
    const calls = [
      () => hil.node("n1", signal()),
      () => hil.allocate("n1", "p", signal()),
      () => hil.removeNetwork("prov", signal()),
    ];
    for (const call of calls) {
      const error = await failure(call());
      expect(error).toMatchObject({ code: "UNAUTHENTICATED", retryable: false });
      expect(JSON.stringify([error.message, error.details, String(error.cause)])).not.toMatch(/wrong-horse|Basic /);
    }
    expect(rack.hil.world.networks.has("prov")).toBe(true);
  });

  it("to what HIL's user may not are FORBIDDEN", async () => {
    const hil = await start({ user: "tenant" });
    const error = await failure(hil.ensureNetwork({ name: "mine" }, signal()));
    expect(error).toMatchObject({ code: "FORBIDDEN", details: { remedy: expect.stringContaining("admin") } });
  });

  it("that are none, or take too long, are UNAVAILABLE", async () => {
    const hil = await start({ callSeconds: 0.2, actionSeconds: 0.5 });
    rack.hil.faults.add({ answer: "hang" });
    expect(await failure(hil.node("n1", signal()))).toMatchObject({
      ...{ code: "UNAVAILABLE", retryable: true },
      message: expect.stringContaining("within 0.2 s"),
    });
    await rack.hil.stop();
    const error = await failure(hil.node("n1", signal()));
    expect(error).toMatchObject({ code: "UNAVAILABLE", retryable: true, details: { reason: "ECONNREFUSED" } });
    rack = await startHilRack();
  });

  it("of something else than HIL are told from those of HIL", async () => {
    const hil = await start();
    rack.hil.faults.add({ answer: "garbage" });
    expect(await failure(hil.node("n1", signal()))).toMatchObject({ code: "DRIVER_FAILED" });
    const elsewhere = isolator({ ...rack.account, url: `${rack.account.url}/elsewhere` });
    expect(await failure(elsewhere.node("n1", signal()))).toMatchObject({ code: "DRIVER_FAILED" });
  });

  it.each([
    [{ url: "hil.example:5000" }, "url"],
    [{ url: "http://user:secret-pw@hil.example" }, "url"],
    [{ url: "http://hil.example", credentials: { user: "a:b", password: "secret-pw" } }, "user"],
    [{ url: "http://hil.example", credentials: { token: "secret-pw\n" } }, "token"],
  ])("are not asked for with an account that can't be: %#", async (account, field) => {
    await start();
    const error = await failure(Promise.resolve().then(() => new HilClient(account)));
    expect(error).toMatchObject({ code: "CONFIG_INVALID", details: { field } });
    expect(JSON.stringify([error.message, error.details])).not.toContain("secret-pw");
  });
});

describe("requests", () => {
  it("are four at once at most, each with its deadline from its turn on", async () => {
    const hil = await start({ nodes: 8, callSeconds: 0.3 });
    rack.hil.faults.add({ answer: "hang", always: true });
    const began = [...rack.hil.world.nodes.keys()].map((name) => failure(hil.node(name, signal())));
    for (const error of await Promise.all(began)) expect(error.code).toBe("UNAVAILABLE");
    expect(rack.hil.seen).toHaveLength(8);
    expect(rack.hil.busiest).toBe(4);
  });

  it("are of the shapes that HIL was seen to take", async () => {
    const hil = await start();
    await hil.nodes(signal());
    await hil.allocate("n1", "p", signal());
    await hil.ensureNetwork({ name: "a", project: "p" }, signal());
    await hil.ensureAttached(native("a"), signal());
    await hil.ensureAttached({ ...native("tenant"), channel: "tagged" }, signal());
    for (const network of ["a", "tenant"]) await hil.ensureDetached(native(network), signal());
    await hil.removeNetwork("a", signal());
    await hil.free("n1", "p", signal());
    const recording = readFileSync(new URL("../../fixtures/hil/recording.json", import.meta.url), "utf8");
    const taken = JSON.parse(recording)
      .flatMap(({ exchanges }: { exchanges: (Call & { status: number })[] }) => exchanges)
      .filter(({ status }: { status: number }) => status < 300)
      .map(shapeOf);
    expect(taken).toEqual(expect.arrayContaining(rack.hil.seen.map(shapeOf)));
    expect(rack.hil.seen.every(({ authorization }) => authorization?.startsWith("Basic "))).toBe(true);
    expect(JSON.stringify(rack.hil.seen)).not.toContain(PASSWORD);
  });
});

type Call = { method: string; path: string; body?: string };

/** Method, path without the labels in it, and the keys of the body. */
function shapeOf({ method, path, body }: Call): string {
  const plain = path.replace(/(?<=\/(node|nic|project|network|networking_action)\/)[^/]+/g, "X");
  let keys = "";
  try {
    keys = Object.keys(JSON.parse(body || "{}"))
      .sort()
      .join();
  } catch {
    // what is no JSON is no call of ours
  }
  return `${method} ${plain} ${keys}`;
}
