/** Images fetched as qcow2 from a whole appliance: made on the way, gone on with after a break, without fault for QEMU. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, stat } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { destroyEverything } from "../lab/lab-state.ts";
import { createRack, type Rack } from "../lab/rack.ts";

const run = promisify(execFile);
const PATH = "/v1/projects/default/images/golden/content?format=qcow2";
const MIB = 1024 ** 2;
/** Of the raw content; two pieces of 60 MiB and the last sector are written. */
const SIZE = 2048 * MIB + 512;

describe.each([
  ["file", 860],
  ["rbd", 862],
] as const)("an image fetched as qcow2 from a %s pool", (storage, control) => {
  const state = `/var/tmp/ingot-download-${storage}`;
  const at = (name: string) => join(state, name);
  let rack: Rack;

  beforeAll(async () => {
    rack = await createRack({ stateDirectory: state, name: `download-${storage}`, control, storage });
    // the content itself begins as a qcow2 image that is another's overlay, and is only bytes
    await run(
      "sh",
      [
        "-ec",
        `
      qemu-img create -q -f qcow2 -F raw -u -b /etc/shadow header.qcow2 1G
      truncate -s ${SIZE} golden.raw
      for at in 1 1500; do dd if=/dev/urandom of=golden.raw bs=1M count=60 seek=$at conv=notrunc status=none; done
      dd if=header.qcow2 of=golden.raw conv=notrunc status=none
      dd if=/dev/urandom of=golden.raw bs=512 count=1 seek=${SIZE / 512 - 1} conv=notrunc status=none`,
      ],
      { cwd: state },
    );
    await rack.importImage("golden", at("golden.raw"));
    await curl("-o", at("whole.qcow2"));
  });
  afterAll(() => destroyEverything(state));

  async function curl(...args: string[]): Promise<string> {
    const { stdout } = await run("curl", [
      "-sS",
      "--fail",
      "--unix-socket",
      rack.apiSocket,
      ...args,
      `http://ingot${PATH}`,
    ]);
    return stdout;
  }

  const open = async (headers: Record<string, string>): Promise<IncomingMessage> => {
    const asked = request({ socketPath: rack.apiSocket, path: PATH, headers }).end();
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    return answer;
  };

  /** Fetches some, has the rest broken off, and gives what came, with what it goes on with. */
  async function broken(breakOff: () => Promise<void>): Promise<{ received: Buffer; etag: string }> {
    const answer = await open({});
    const pieces: Buffer[] = [];
    const over = new Promise<Error>((resolve) => answer.on("error", resolve));
    const piece = await new Promise<Buffer>((resolve) => answer.once("data", resolve));
    answer.pause();
    pieces.push(piece);
    await breakOff();
    answer.on("data", (more: Buffer) => pieces.push(more)).resume();
    await over;
    return { received: Buffer.concat(pieces), etag: answer.headers.etag as string };
  }

  async function goOn({ received, etag }: { received: Buffer; etag: string }): Promise<void> {
    const answer = await open({ Range: `bytes=${received.length}-`, "If-Range": etag });
    expect(answer.statusCode).toBe(206);
    const whole = Buffer.concat([received, ...(await Array.fromAsync(answer as AsyncIterable<Buffer>))]);
    expect(whole.equals(await readFile(at("whole.qcow2")))).toBe(true);
  }

  it("is without fault, no longer than its content, and holds just that", async () => {
    const { stdout } = await run("qemu-img", ["check", "-f", "qcow2", "--output", "json", at("whole.qcow2")]);
    const { "check-errors": errors, corruptions = 0, leaks = 0 } = JSON.parse(stdout);
    expect([errors, corruptions, leaks]).toEqual([0, 0, 0]);
    await run("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", at("golden.raw"), at("whole.qcow2")]);
    expect((await stat(at("whole.qcow2"))).size).toBeLessThan(140 * MIB);
  });

  it("is gone on with by curl where it was broken off, and not where it is another", async () => {
    const part = at("part.qcow2");
    await rm(part, { force: true });
    await curl("-r", "0-30000000", "-o", part);
    const etag = /etag: (".*")/i.exec(await curl("-I"))?.[1];
    await expect(curl("-C", "-", "-H", `If-Range: "another"`, "-o", part)).rejects.toMatchObject({ code: 33 });
    await curl("-C", "-", "-H", `If-Range: ${etag}`, "-o", part);
    await run("cmp", [part, at("whole.qcow2")]);
  });

  it("is fetched by the command line, and made an image again by it", async () => {
    const fetched = at("fetched.qcow2");
    const told = await rack.ingotJson<{ bytes: number }>("image", "download", "golden", fetched, "--format", "qcow2");
    expect(told.bytes).toBe((await stat(at("whole.qcow2"))).size);
    await run("cmp", [fetched, at("whole.qcow2")]);
    await rack.importImage("again", fetched, { format: "qcow2" });
    const [golden, again] = await Promise.all(
      ["golden", "again"].map((name) => rack.ingotJson<{ sha256: string }>("image", "show", name)),
    );
    expect(again?.sha256).toBe(golden?.sha256);
  });

  it("breaks off with ingot-storaged, and is the same when that is back", async () => {
    const cut = await broken(() => rack.end("storaged", "SIGKILL"));
    await rack.startStoraged();
    expect(cut.received.length).toBeLessThan(100 * MIB);
    await goOn(cut);
  });

  if (storage === "rbd")
    it("breaks off where the cluster hangs, and is the same when that goes on", async () => {
      const cut = await broken(() => rack.ceph!.signal("osd", "SIGSTOP"));
      await rack.ceph!.signal("osd", "SIGCONT");
      await goOn(cut);
    });

  it("is laid out as before whatever becomes of what lies below it, and anew once its image is flattened", async () => {
    const etag = async () => /etag: (".*")/i.exec(await curl("-I"))?.[1];
    const before = await etag();
    const { id } = await rack.ingotJson<{ id: string }>("image", "show", "golden");
    const { pool, conf, user } = rack.ceph ?? {};
    const place = rack.ceph ? `rbd:${pool}/${id}:conf=${conf}:id=${user}` : at(`pool/images/${id}.raw`);
    // zeros in a hole: the same content, in more room
    await rack.network.run(["qemu-io", "-f", "raw", "-c", "write -P 0 200M 4M", place]);
    expect(await etag()).toBe(before);
    await curl("-o", at("again.qcow2"));
    await run("cmp", [at("again.qcow2"), at("whole.qcow2")]);

    await rack.ingot("image", "flatten", "golden");
    expect(await etag()).not.toBe(before);
    await curl("-o", at("again.qcow2"));
    expect((await stat(at("again.qcow2"))).size).toBe((await stat(at("whole.qcow2"))).size + 4 * MIB);
    await run("qemu-img", ["compare", "-f", "raw", "-F", "qcow2", at("golden.raw"), at("again.qcow2")]);
  });
});
