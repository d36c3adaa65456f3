import { EventEmitter } from "node:events";
import { Hono } from "hono";
import pino from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import type { BootAnswers } from "../../../src/boot/boot-answers.ts";
import type { BootClient } from "../../../src/boot/boot-client.ts";
import type { BootDecision } from "../../../src/boot/boot-decision.ts";
import type { BootEvent } from "../../../src/boot/boot-event.ts";
import { exitUrl } from "../../../src/boot/boot-urls.ts";
import type { FileTransfer } from "../../../src/boot/file-transfer.ts";
import { loadScriptTemplates } from "../../../src/boot/script-template.ts";
import { bootApp } from "../../../src/http/boot/app.ts";
import type { BootHttp } from "../../../src/http/boot/source-address.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";
import type { Mac } from "../../../src/values/mac.ts";
import { bootEntry, mac } from "../boot/boot-fixtures.ts";

const own = "10.20.0.7";
const other = "52:54:00:00:00:99";
const templates = loadScriptTemplates();

let events: BootEvent[];
let transfers: FileTransfer[];
let asked: BootClient[];
let heard: BootClient | undefined;
let decision: BootDecision;
let logged: string;

beforeEach(() => {
  events = [];
  transfers = [];
  asked = [];
  heard = undefined;
  decision = { kind: "sanboot", entry: bootEntry() };
  logged = "";
});

const ownerOf = (address: Ipv4, network: string): Mac | undefined =>
  address === own && network === "rack1" ? mac : undefined;
const answers: BootAnswers = {
  answer: (client, via, network) => {
    expect([via, network]).toEqual(["http", "rack1"]);
    asked.push(client);
    return decision;
  },
  owns: (one, address, network, token) => ownerOf(address, network) === one || token === "good",
  reports: (one, address, network) => ownerOf(address, network) === one,
  ownerOf,
};

const app = bootApp({
  network: { name: "rack1", address: "10.20.0.1" as Ipv4, httpPort: 80 },
  answers,
  clientOf: () => heard,
  tokens: { issue: () => "fresh", fits: () => false },
  templates,
  assets: new Hono<BootHttp>().get("/fail", () => {
    throw new Error("a secret path");
  }),
  onTransfer: (transfer) => transfers.push(transfer),
  emit: (event) => events.push(event),
  log: pino({}, { write: (line) => (logged += line) }),
  clock: { now: () => 5000, sleep: () => Promise.resolve() },
});

function request(path: string, init: RequestInit & { from?: string } = {}) {
  const { from = own, ...rest } = init;
  const bindings = { incoming: { socket: { remoteAddress: from } }, outgoing: new EventEmitter() };
  return app.request(path, rest, bindings as never);
}

describe("a boot token in the URL", () => {
  it("opens the script from elsewhere, and a fresh one goes into the URL for the next try", async () => {
    const response = await request(`/boot/${mac}?token=good`, { from: "10.99.0.7" as Ipv4 });
    const text = await response.text();
    expect(text).toContain("sanboot");
    expect(text).toContain(`chain --replace --autofree http://10.20.0.1/boot/${mac}?token=fresh ||`);
  });

  it("that is not the machine's gets neither script nor token", async () => {
    const headers = { "User-Agent": "iPXE/1.0.0" };
    const response = await request(`/boot/${mac}?token=stolen`, { from: "10.99.0.7" as Ipv4, headers });
    expect(await response.text()).not.toMatch(/sanboot|token/);
  });
});

describe("GET /boot/:mac", () => {
  it("gives a machine its own script and tells the timeline", async () => {
    const response = await request(`/boot/${mac}`);
    expect(response.status).toBe(200);
    expect(response.headers.get("Cache-Control")).toBe("no-store");
    expect(response.headers.get("Content-Type")).toMatch(/^text\/plain/);
    expect(await response.text()).toContain("set password s3cretsecret1\n");
    expect(events).toEqual([
      { mac, stage: "script", at: 5000, network: "rack1", address: own, file: "sanboot", decision: "sanboot" },
    ]);
    expect(logged).not.toContain("s3cret");
  });

  it.each([
    ["another machine's address", mac, "10.20.0.8"],
    ["another machine's MAC", other, own],
    ["an IPv4-mapped foreign address", mac, "::ffff:10.20.0.8"],
    ["no address", mac, ""],
  ])("refuses %s", async (_name, asking, from) => {
    const response = await request(`/boot/${asking}`, { from });
    expect(response.status).toBe(403);
    expect(response.headers.get("Cache-Control")).toBe("no-store");
    expect(await response.text()).not.toMatch(/password|s3cret|iqn/);
    expect(asked).toEqual([]);
    expect(events).toMatchObject([{ mac: asking, stage: "refused", reason: "foreign-address" }]);
  });

  it("shows a screen instead to a foreign iPXE, which drops the body of a 403", async () => {
    const response = await request(`/boot/${mac}`, {
      from: "10.20.0.8",
      headers: { "User-Agent": "iPXE/1.0.0+git-20190125.36a4c85-5.1" },
    });
    const text = await response.text();
    expect(response.status).toBe(200);
    expect(text).toMatch(/^#!ipxe\n/);
    expect(text).toContain(`does not belong to ${mac}`);
    expect(text).not.toMatch(/password|s3cret|iqn/);
  });

  it("takes an IPv4-mapped address and any form of MAC for what they are", async () => {
    expect((await request(`/boot/${mac}`, { from: `::ffff:${own}` })).status).toBe(200);
    expect((await request(`/boot/${mac.toUpperCase().replaceAll(":", "-")}`)).status).toBe(200);
  });

  it("believes what DHCP heard of the client, and assumes a capable iPXE otherwise", async () => {
    await request(`/boot/${mac}`);
    heard = { mac, stage: "firmware", firmware: "bios" };
    await request(`/boot/${mac}`);
    heard = { mac, stage: "ipxe", firmware: "bios", hasHttp: true, hasIscsi: false };
    await request(`/boot/${mac}`);
    expect(asked).toEqual([
      { mac, stage: "ipxe", hasHttp: true, hasIscsi: true },
      { mac, stage: "ipxe", firmware: "bios", hasHttp: true, hasIscsi: true },
      { mac, stage: "ipxe", firmware: "bios", hasHttp: true, hasIscsi: false },
    ]);
  });

  it("tells the timeline why a machine got a screen", async () => {
    decision = { kind: "refuse", reason: "wrong-network", entry: bootEntry() };
    expect(await (await request(`/boot/${mac}`)).text()).toContain("node1 asks on another network");
    expect(events).toMatchObject([
      { stage: "script", file: "refuse-wrong-network", decision: "refuse" },
      { stage: "refused", reason: "wrong-network" },
    ]);
  });

  it("leaves the boot of a running node as it was when somebody asks in its name", async () => {
    decision = { kind: "refuse", reason: "unarmed", entry: bootEntry({ disarmedAt: 1 }) };
    const text = await (await request(`/boot/${mac}`)).text();
    expect(text).toContain("node1 was up when it was last heard of");
    expect(text).toMatch(/set ingot-pause:int32 2\n.*chain /s);
    const { user, secret } = bootEntry().chap;
    for (const word of [user, secret]) expect(text).not.toContain(word);
    expect(events).toMatchObject([{ stage: "refused", reason: "unarmed" }]);
  });

  it.each(["nonsense", "ff:ff:ff:ff:ff:ff", "52:54:00:12:34", "..%2f..%2fetc"])("answers 400 to %s", async (text) => {
    expect((await request(`/boot/${text}`)).status).toBe(400);
    expect(events).toEqual([]);
  });

  it("hides what broke from the client and logs it", async () => {
    decision = { kind: "sanboot", entry: bootEntry({ disk: "a b" }) };
    const response = await request(`/boot/${mac}`);
    expect(response.status).toBe(500);
    expect(await response.text()).toBe("the appliance failed to answer; its log says why\n");
    expect(logged).toContain('the value of \\"disk\\" does not fit');
    expect((await request("/assets/fail")).status).toBe(500);
  });
});

describe("POST /boot/:mac/ready", () => {
  const ready = (body?: string, type?: string, from?: string) =>
    request(`/boot/${mac}/ready`, {
      method: "POST",
      ...(body === undefined ? {} : { body }),
      ...(type ? { headers: { "Content-Type": type } } : {}),
      ...(from ? { from } : {}),
    });
  const form = "application/x-www-form-urlencoded";

  const bodies: [string, string | undefined, string | undefined, Record<string, string> | undefined][] = [
    ["no body", undefined, undefined, undefined],
    ["an empty body", "", form, undefined],
    ["a form", "serial=ABC&kernel=6.1.0-18", form, { serial: "ABC", kernel: "6.1.0-18" }],
    ["a form that calls itself nothing", "kernel=6.1", "text/plain", { kernel: "6.1" }],
    ["text", "up at last", "text/plain", { text: "up at last" }],
    ["JSON", '{"serial":"ABC","cpus":4}', "application/json", { serial: "ABC", cpus: "4" }],
    ["control characters", '{"a\\u001b[2J":"b\\nc"}', "application/json", { "a [2J": "b c" }],
    ["a hostile key", '{"__proto__":"x","a":"b"}', "application/json", { a: "b" }],
    ["a long value", `text=${"x".repeat(1000)}`, form, { text: "x".repeat(256) }],
  ];
  it.each(bodies)("takes %s", async (_name, body, type, facts) => {
    expect((await ready(body, type)).status).toBe(200);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ mac, stage: "ready", at: 5000, address: own, network: "rack1" });
    expect(events[0]!.facts).toEqual(facts);
  });

  it("keeps sixteen facts at most", async () => {
    const body = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`key${i}`, "v"]));
    await ready(JSON.stringify(body), "application/json");
    expect(Object.keys(events[0]!.facts!)).toHaveLength(16);
  });

  it("refuses foreign addresses, bad JSON, long bodies and other methods", async () => {
    expect((await ready("", form, "10.20.0.8")).status).toBe(403);
    expect(events.splice(0)).toMatchObject([{ stage: "refused", reason: "foreign-address" }]);
    expect((await ready("{", "application/json")).status).toBe(400);
    expect((await ready("x".repeat(65 * 1024))).status).toBe(413);
    for (const method of ["GET", "HEAD", "PUT", "DELETE"]) {
      const response = await request(`/boot/${mac}/ready`, { method });
      expect(response.status, method).toBe(405);
      expect(response.headers.get("Allow")).toBe("POST");
    }
    expect(events).toEqual([]);
  });
});

describe("anything else", () => {
  it("has nothing for UEFI HTTP boot that shall go on to its next boot device", async () => {
    const url = exitUrl({ server: "10.20.0.1" as Ipv4, httpPort: 80, mac });
    expect((await request(new URL(url).pathname)).status).toBe(404);
    expect((await request(new URL(url).pathname, { method: "HEAD" })).status).toBe(404);
    expect(events).toEqual([]);
  });

  it.each(["/", "/boot/", "/boot", "/v1/nodes", "/assets/", "/assets/%zz", "/assets/%ff"])(
    "answers 404 to %s",
    async (path) => {
      expect((await request(path)).status).toBe(404);
      expect(logged).toBe("");
    },
  );
});
