/** Images that come over the network into a whole appliance, which is killed meanwhile: uploads and URLs; machines boot from them. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Image, Operation, Upload } from "../../src/cli/answers.ts";
import { destroyEverything } from "../lab/lab-state.ts";
import { addQuickMachine } from "../lab/quick-machine.ts";
import { createRack, type Rack } from "../lab/rack.ts";
import { until } from "./until.ts";

const MIB = 1024 ** 2;
const STATE = "/var/tmp/ingot-incoming";
const PORT = 8099;
/** What every block of them is filled with. */
const WORDS = "a golden image,";
const content = Buffer.alloc(24 * MIB, `${WORDS} `);
const sha256 = createHash("sha256").update(content).digest("hex");

let rack: Rack;

/** Serves a file in the namespace: whole or in parts, slowly, or a redirect to where nobody may be led. */
const SERVER = `
const { createServer } = require("node:http");
const { readFileSync } = require("node:fs");
const [file, port] = process.argv.slice(1);
createServer((request, response) => {
  console.log(JSON.stringify({ url: request.url, range: request.headers.range, authorization: request.headers.authorization }));
  if (request.url === "/inwards") return response.writeHead(302, { Location: "http://10.77.0.1:" + port + "/file" }).end();
  if (request.url === "/silent") return;
  const content = readFileSync(file);
  const from = Number(/^bytes=(\\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const part = content.subarray(from);
  const range = from > 0 ? { "Content-Range": "bytes " + from + "-" + (content.length - 1) + "/" + content.length } : {};
  response.writeHead(from > 0 ? 206 : 200, { ETag: '"1"', "Content-Length": part.length, ...range });
  // a first try stands still half-way
  if (request.url.startsWith("/halting") && from === 0) return response.write(part.subarray(0, part.length / 2));
  response.end(part);
}).listen(Number(port), "0.0.0.0");
`;

beforeAll(async () => {
  rack = await createRack({ stateDirectory: STATE, name: "incoming", control: 690 });
  writeFileSync(join(STATE, "golden.raw"), content);
  const config = readFileSync(rack.configFile, "utf8");
  writeFileSync(rack.configFile, config.replace("pool:\n", "pool:\n  importFrom: [127.0.0.1]\n"));
  await rack.end("ingotd");
  await rack.startIngotd();
  const argv = [process.execPath, "-e", SERVER, join(STATE, "golden.raw"), String(PORT)];
  server = await rack.network.start(argv, { name: "files", stdio: ["ignore", "pipe", "ignore"] });
  server.stdout!.setEncoding("utf8").on("data", (text: string) => {
    served += text;
  });
});
afterAll(() => destroyEverything(STATE));

let server: ChildProcess;
let served = "";

const incoming = () => readdirSync(join(STATE, "incoming"));
const show = (name: string) => rack.ingotJson<Image>("image", "show", name);
const url = (path: string, host = "127.0.0.1") => `http://${host}:${PORT}${path}`;

/** An operation that must fail; nothing of it is left. */
async function failed(name: string, ...args: string[]): Promise<NonNullable<Operation["error"]>> {
  const begun = await rack.ingotJson<Operation>("image", "import", name, "--format", "raw", "--no-wait", ...args);
  let operation = begun;
  await until(`the import of ${name} ends`, async () => {
    operation = await rack.ingotJson<Operation>("operation", "show", begun.id);
    return operation.state === "undone";
  });
  expect((await rack.ingotJson<Image[]>("image", "list")).map((one) => one.name)).not.toContain(name);
  expect(incoming()).toEqual([]);
  return operation.error!;
}

async function restart(): Promise<void> {
  await rack.end("ingotd", "SIGKILL");
  await rack.startIngotd();
}

describe("an upload", () => {
  it("by curl becomes an image", async () => {
    const path = "http://ingot/v1/projects/default/images/by-curl/content?format=raw";
    const answer = execFileSync("curl", [
      "-sS",
      "--unix-socket",
      rack.apiSocket,
      "-T",
      join(STATE, "golden.raw"),
      path,
    ]);
    const { id } = JSON.parse(answer.toString()) as Operation;
    await until(
      "it is imported",
      async () => (await rack.ingotJson<Operation>("operation", "show", id)).state === "done",
    );
    expect(await show("by-curl")).toMatchObject({ sha256, sizeBytes: content.length, origin: { source: "upload" } });
    expect(incoming()).toEqual([]);
  });

  it("outlives kill -9 of ingotd between its pieces, and goes on from there", async () => {
    const path = "http://ingot/v1/projects/default/images/pieces/content?format=raw&compression=none&phonesHome=false";
    const range = `Content-Range: bytes 0-${10 * MIB - 1}/${content.length}`;
    writeFileSync(join(STATE, "piece"), content.subarray(0, 10 * MIB));
    execFileSync("curl", ["-sS", "--unix-socket", rack.apiSocket, "-T", join(STATE, "piece"), "-H", range, path]);
    await restart();
    expect(await rack.ingotJson<Upload[]>("image", "uploads")).toMatchObject([
      { name: "pieces", receivedBytes: 10 * MIB },
    ]);
    await rack
      .ingot("image", "upload", "pieces", join(STATE, "golden.raw"), "--format", "raw", "--sha256", sha256)
      .catch((error) => {
        // begun without a checksum: it is another upload
        expect(String(error)).toContain("sha256");
      });
    await rack.ingot("image", "upload", "pieces", join(STATE, "golden.raw"), "--format", "raw");
    expect(await show("pieces")).toMatchObject({ sha256 });
    expect(incoming()).toEqual([]);
  });

  describe("of unknown length", () => {
    const path = (name: string) => `http://ingot/v1/projects/default/images/${name}/content?format=raw`;
    /** What a shell line ends with and says; the line has the command line as $INGOT and the API's socket as $SOCKET. */
    async function shell(line: string): Promise<{ code: number | null; said: string }> {
      const env = { ...process.env, INGOT: rack.ingotCommand.join(" "), SOCKET: rack.apiSocket };
      const child = spawn("sh", ["-c", `${line} 2>&1`], { env, stdio: ["ignore", "pipe", "inherit"] });
      const said = (await Array.fromAsync(child.stdout.setEncoding("utf8"))).join("");
      return { code: child.exitCode ?? (await new Promise((resolve) => child.on("close", resolve))), said };
    }

    it("comes out of a pipe, by curl and by the command line", async () => {
      const file = join(STATE, "golden.raw");
      const { said } = await shell(`cat ${file} | curl -sS --unix-socket $SOCKET -T - '${path("piped")}'`);
      const { id } = JSON.parse(said) as Operation;
      await until(
        "it is imported",
        async () => (await rack.ingotJson<Operation>("operation", "show", id)).state === "done",
      );
      expect(await show("piped")).toMatchObject({ sha256 });
      const packed = await shell(`gzip -1c ${file} | $INGOT image upload packed - --format raw --compression gz`);
      expect(packed.code, packed.said).toBe(0);
      expect(await show("packed")).toMatchObject({ sha256, origin: { source: "upload", compression: "gz" } });
      expect(incoming()).toEqual([]);
    });

    it("leaves nothing when its sender breaks off, and never passes for whole", async () => {
      const sender = connect(rack.apiSocket);
      const head = [
        "PUT /v1/projects/default/images/broken/content?format=raw HTTP/1.1",
        "Host: ingot",
        "Transfer-Encoding: chunked",
      ];
      sender.write(`${head.join("\r\n")}\r\n\r\n100000\r\n`);
      sender.write(Buffer.alloc(MIB));
      sender.write("\r\n");
      await until("it has arrived", async () => {
        const [upload] = await rack.ingotJson<Upload[]>("image", "uploads");
        return upload?.receivedBytes === MIB;
      });
      sender.destroy();
      await until("it is dropped", async () => (await rack.ingotJson<Upload[]>("image", "uploads")).length === 0);
      expect(incoming()).toEqual([]);
      expect((await rack.ingotJson<Image[]>("image", "list")).map(({ name }) => name)).not.toContain("broken");
    });

    it("is told why it is refused, although more is to come", async () => {
      const refused = await shell("head -c 300M /dev/zero | $INGOT image upload piped - --format raw");
      expect(refused, refused.said).toMatchObject({ code: 4, said: expect.stringContaining("has an image") });
    });
  });

  it("of the command line goes on by itself when ingotd is killed under it", async () => {
    const large = join(STATE, "large.raw");
    execFileSync("truncate", ["-s", "1G", large]);
    const [node = "", ...words] = rack.ingotCommand;
    const child = spawn(node, [...words, "image", "upload", "large", large, "--format", "raw"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    const ended = new Promise((resolve) => child.on("close", resolve));
    await until("some of it has arrived", async () => {
      const [upload] = await rack.ingotJson<Upload[]>("image", "uploads");
      return upload !== undefined && upload.receivedBytes > 64 * MIB;
    });
    await restart();
    expect(await ended, said).toBe(0);
    expect(await show("large")).toMatchObject({ ready: true, sizeBytes: 1024 * MIB });
  });
});

describe("a URL", () => {
  it("is fetched and imported; credentials and query show nowhere", async () => {
    const secret = url("/file?signature=s3cret").replace("://", "://user:passw0rd@");
    await rack.ingot("image", "import", "fetched", "--from", secret, "--format", "raw", "--sha256", sha256);
    expect(await show("fetched")).toMatchObject({ sha256, origin: { source: url("/file"), format: "raw" } });
    expect(served).toContain(`Basic ${Buffer.from("user:passw0rd").toString("base64")}`);
    const operations = await rack.ingot("--json", "operation", "list");
    const log = readFileSync(join(STATE, "ingotd.log"), "utf8");
    for (const word of ["s3cret", "passw0rd"]) {
      expect(operations).not.toContain(word);
      expect(log).not.toContain(word);
    }
    expect(incoming()).toEqual([]);
  });

  it("is gone on with after kill -9, for the rest alone", async () => {
    const begun = await rack.ingotJson<Operation>(
      "image",
      "import",
      "halting",
      "--from",
      url("/halting"),
      "--format",
      "raw",
      "--no-wait",
    );
    const half = () =>
      incoming().some(
        (name) => !name.endsWith(".origin") && statSync(join(STATE, "incoming", name)).size === content.length / 2,
      );
    await until("half of it has arrived", half);
    served = "";
    await restart();
    await until(
      "it is imported",
      async () => (await rack.ingotJson<Operation>("operation", "show", begun.id)).state === "done",
    );
    expect(await show("halting")).toMatchObject({ sha256 });
    expect(served).toContain(`"range":"bytes=${content.length / 2}-"`);
  });

  it.each([
    ["a provisioning network", "http://10.77.0.1:8099/file"],
    ["loopback that is not listed", "http://127.0.0.2:8099/file"],
    ["a redirect inwards", "http://127.0.0.1:8099/inwards"],
  ])("that leads to %s is refused, and nothing is left", async (_, from) => {
    served = "";
    expect(await failed("inward", "--from", from)).toMatchObject({
      code: "FORBIDDEN",
      remedy: expect.stringContaining("pool.importFrom"),
    });
    expect(served).not.toContain('"/file"');
  });

  it("with a wrong checksum is refused, and nothing is left", async () => {
    const error = await failed("wrong", "--from", url("/file"), "--sha256", "0".repeat(64));
    expect(error).toMatchObject({ code: "INVALID", message: expect.stringContaining("another checksum") });
  });
});

it("a machine reads what came, from the disk that it is given", async () => {
  const mac = "52:54:00:77:00:51";
  const address = "10.77.0.51";
  const program = join(import.meta.dirname, "programs/live-machine.ts");
  const directory = await addQuickMachine(rack, {
    ...{ name: "node-1", mac, address, bmcAddress: "127.0.1.1", namespace: "ingot-incoming-node" },
    program: [process.execPath, program, address, rack.addresses[0] as string, mac, WORDS],
  });
  const said = () => readFileSync(join(directory, "qemu.log"), "utf8");
  for (const name of ["by-curl", "pieces", "fetched", "halting"]) {
    writeFileSync(join(directory, "qemu.log"), "");
    await rack.ingot("provision", "node-1", "--image", name);
    await expect.poll(said, { timeout: 30_000, message: name }).toMatch(/^1\n2\n3\n/);
    await rack.ingot("deprovision", "node-1", "--delete-disk", "--now");
  }
});
