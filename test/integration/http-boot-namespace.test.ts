import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Change } from "../../src/store/records.ts";
import { bootEntry } from "../unit/boot/boot-fixtures.ts";
import { Lines, Namespaces } from "./namespaces.ts";

/**
 *   hdb-server                          hdb-client
 *     rack 10.62.1.1/24 ------------ nic 10.62.1.7 (node1's), 10.62.1.8 (node2's), 10.62.1.9 (nobody's)
 */
const SERVER = "hdb-server";
const CLIENT = "hdb-client";
const NODE1 = { mac: "52:54:00:62:00:01", address: "10.62.1.7" };
const NODE2 = { mac: "52:54:00:62:00:02", address: "10.62.1.8" };
const NOBODY = "10.62.1.9";

const network = { name: "rack1", address: "10.62.1.1", httpPort: 80, unknown: "exit" };
const put = (collection: string, key: string, value: object): Change => ({ collection, key, value });
const changes = [NODE1, NODE2].flatMap(({ mac, address }, index) => {
  const id = `node-${index + 1}`;
  const chap = { user: id, secret: `${id}-s3cret-words` };
  const entry = bootEntry({
    node: id,
    nodeName: `node${index + 1}`,
    chap,
    mac: mac as never,
    address: address as never,
  });
  return [
    put("nodes", id, { id, name: entry.nodeName, nics: [{ mac, role: "boot", network: "rack1" }] }),
    put("leases", address, { address, mac, network: "rack1", state: "pinned", expiresAt: 0 }),
    put("bootEntries", id, entry),
  ];
});

describe("the HTTP boot server on a provisioning network", () => {
  let namespaces: Namespaces;
  let server: ChildProcess;
  let events: Lines;
  let assets: string;

  beforeAll(async () => {
    namespaces = new Namespaces(SERVER, CLIENT);
    namespaces.cable(
      { namespace: SERVER, interface: "rack", addresses: ["10.62.1.1/24"] },
      {
        namespace: CLIENT,
        interface: "nic",
        addresses: [NODE1.address, NODE2.address, NOBODY].map((address) => `${address}/24`),
      },
    );
    assets = mkdtempSync(join(tmpdir(), "ingot-assets-"));
    writeFileSync(join(assets, "undionly.kpxe"), "loader");
    const program = resolve(import.meta.dirname, "programs/serve-boot.ts");
    const facts = JSON.stringify({ network, loaders: { bios: ["undionly.kpxe"] }, changes, assets });
    server = namespaces.start(SERVER, [process.execPath, program, facts]);
    events = new Lines(server);
    await events.next(/"port":80/);
  });
  afterAll(async () => {
    await namespaces?.remove();
    if (assets) rmSync(assets, { recursive: true });
  });

  /** What curl got from this address: status and body. */
  function curl(from: string, ...words: string[]): { status: number; body: string } {
    const command = ["curl", "-s", "-m", "10", "--interface", from, "-w", "\n%{http_code}", ...words];
    const output = namespaces.run(CLIENT, command);
    const cut = output.lastIndexOf("\n");
    return { status: Number(output.slice(cut + 1)), body: output.slice(0, cut) };
  }
  const scriptOf = (node: { mac: string }) => `http://10.62.1.1/boot/${node.mac}`;

  it("gives each node its own script, and neither the other's", async () => {
    for (const node of [NODE1, NODE2]) {
      const { status, body } = curl(node.address, scriptOf(node));
      expect(status).toBe(200);
      const id = node === NODE1 ? "node-1" : "node-2";
      expect(body).toContain(`set password ${id}-s3cret-words\n`);
      expect(body).toContain(`chain --replace --autofree ${scriptOf(node)} ||`);
      await events.next(new RegExp(`"mac":"${node.mac}","at":\\d+,.*"stage":"script".*"decision":"sanboot"`));
    }
    for (const [from, asked] of [
      [NODE1.address, NODE2],
      [NODE2.address, NODE1],
      [NOBODY, NODE1],
    ] as const) {
      const { status, body } = curl(from, scriptOf(asked));
      expect(status).toBe(403);
      expect(body).not.toMatch(/s3cret|iqn/);
      await events.next(new RegExp(`"mac":"${asked.mac}".*"address":"${from}","stage":"refused"`));
    }
  });

  it("is not fooled by headers that claim another source", () => {
    const headers = ["X-Forwarded-For", "Forwarded", "X-Real-IP"].flatMap((name) => [
      "-H",
      `${name}: ${NODE1.address}`,
    ]);
    expect(curl(NOBODY, ...headers, scriptOf(NODE1)).status).toBe(403);
  });

  it("hears an OS phone home, by curl and by busybox's wget", async () => {
    expect(curl(NODE1.address, "-d", "kernel=6.1&serial=A1", `${scriptOf(NODE1)}/ready`)).toEqual({
      status: 200,
      body: "ok\n",
    });
    await events.next(/"stage":"ready","facts":\{"kernel":"6.1","serial":"A1"\}/);
    expect(curl(NODE2.address, "-d", "", `${scriptOf(NODE1)}/ready`).status).toBe(403);
    // wget has no choice of source: the kernel takes the interface's first address, which is node1's
    const wget = ["busybox", "wget", "-q", "-O", "-", "--post-data", "kernel=6.2", `${scriptOf(NODE1)}/ready`];
    expect(namespaces.run(CLIENT, wget)).toBe("ok\n");
    await events.next(/"stage":"ready","facts":\{"kernel":"6.2"\}/);
  });

  it("tells the timeline when a node has fetched its loader by HTTP", async () => {
    expect(curl(NODE1.address, "http://10.62.1.1/assets/undionly.kpxe")).toEqual({ status: 200, body: "loader" });
    const line = await events.next(/"stage":"boot-file"/);
    expect(JSON.parse(line)).toMatchObject({ mac: NODE1.mac, file: "undionly.kpxe", bytes: 6, retransmissions: 0 });
    expect(curl(NOBODY, "http://10.62.1.1/assets/undionly.kpxe").status).toBe(200);
    expect(curl(NODE1.address, "-r", "0-2", "http://10.62.1.1/assets/undionly.kpxe").status).toBe(206);
    expect(curl(NODE1.address, "http://10.62.1.1/assets/absent").status).toBe(404);
    expect(events.all.filter((one) => one.includes("boot-file"))).toHaveLength(1);
  });
});
