import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import { type RunningApi, startApi } from "../../src/http/api/start-api.ts";
import { importImage } from "../../src/operations/import-image.ts";
import { asNobody, NOBODY } from "../lab/as-nobody.ts";
import { ApiWorld, PATIENT } from "../unit/http-api/api-world.ts";

const PORT = 25_010;
const TOKEN = "0123456789abcdef0123456789abcdef";

let world: ApiWorld;
const running: RunningApi[] = [];
const start = async (api: Partial<ApiWorld["parts"]["config"]["api"]> = {}) => {
  const { parts } = world;
  const one = await startApi({ ...parts, config: { ...parts.config, api: { ...parts.config.api, ...api } } });
  running.push(one);
  return one;
};

function ask(options: object): Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }> {
  return new Promise((resolve, reject) => {
    request({ path: "/v1/nodes", ...options }, async (response) => {
      const text = (await Array.fromAsync(response)).join("");
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
    })
      .on("error", reject)
      .end();
  });
}

beforeEach(async () => {
  world = await ApiWorld.start();
});
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
  await world.end();
});

describe("the unix socket", () => {
  it("answers its owner and group, and is gone after the stop", async () => {
    const { socketPath, stop } = await start();
    expect(socketPath).toBe(join(world.directory, "api.sock"));
    expect(statSync(socketPath).mode & 0o777).toBe(0o660);
    expect(await ask({ socketPath })).toMatchObject({ status: 200, text: "[]" });
    await stop();
    expect(existsSync(socketPath)).toBe(false);
  });

  it("knows the user at the other end", async () => {
    const { socketPath } = await start();
    chmodSync(world.directory, 0o755);
    chmodSync(socketPath, 0o666);
    const program = `require("http").get({ socketPath: process.argv[1], path: "/v1/nodes" }, (answer) => answer.resume())`;
    const [command = "", ...words] = asNobody([process.execPath, "-e", program, socketPath]);
    const child = spawn(command, words, { stdio: "ignore" });
    await once(child, "exit");
    await ask({ socketPath });
    const callers = () => world.logged.map((line) => JSON.parse(line).requestedBy);
    await expect.poll(callers, PATIENT).toEqual([`uid:${NOBODY}`, `uid:${process.getuid?.()}`]);
  });

  it("takes the place of one that a dead process left", async () => {
    const path = join(world.directory, "api.sock");
    const program = `require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))`;
    expect(spawnSync(process.execPath, ["-e", program, path]).signal).toBe("SIGKILL");
    expect(existsSync(path)).toBe(true);
    const { socketPath } = await start();
    expect(await ask({ socketPath })).toMatchObject({ status: 200 });
  });

  it("refuses to take the place of a living one, and leaves it alone", async () => {
    const { socketPath } = await start();
    await expect(start()).rejects.toMatchObject({ code: "LOCKED", details: { remedy: expect.any(String) } });
    expect(await ask({ socketPath })).toMatchObject({ status: 200 });
  });

  it("does not delete a file that is no socket", async () => {
    const path = join(world.directory, "api.sock");
    writeFileSync(path, "precious");
    await expect(start()).rejects.toMatchObject({ code: "INVALID", details: { field: "runtimeDirectory" } });
    expect(statSync(path).size).toBe(8);
  });

  it("stops although somebody waits for an operation", async () => {
    const endless: ImageStore["import"] = (_request, _progress, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    Object.assign(world.world.images, { import: endless });
    const { appliance } = world;
    const { socketPath, stop } = await start();
    const image = { project: "default", name: "slow", path: "/x", format: "raw" as const, phonesHome: false };
    const { id } = await importImage(appliance, image, "test");
    const waiting = ask({ socketPath, path: `/v1/operations/${id}?waitSeconds=60` });
    const { settled } = appliance.runner;
    const asked = new Promise<void>((resolve) => {
      appliance.runner.settled = function (id) {
        resolve();
        return settled.call(this, id);
      };
    });
    await asked;
    await stop();
    const answer = await waiting;
    expect(JSON.parse(answer.text)).toMatchObject({ id, state: "running" });
  });
});

describe("the TCP listener", () => {
  const tokenFile = (mode: number, text = `${TOKEN}\n`) => {
    const path = join(world.directory, "token");
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  };
  const listen = { address: "127.0.0.1" as never, port: PORT };

  it("stays off without a token file or a port", async () => {
    const { tcp } = await start({ listen: { address: listen.address } });
    expect(tcp).toBeUndefined();
    await expect(ask({ port: PORT })).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("answers the token and nobody else", async () => {
    const { tcp } = await start({ listen, tokenFile: tokenFile(0o600) });
    expect(tcp).toMatchObject({ port: PORT });
    const authorized = (text: string) => ask({ port: PORT, headers: { Authorization: text } });
    expect(await authorized(`Bearer ${TOKEN}`)).toMatchObject({ status: 200 });
    for (const wrong of [`Bearer ${TOKEN}x`, "Bearer ", `Basic ${TOKEN}`, TOKEN, `Bearer ${TOKEN.slice(1)}`]) {
      expect(await authorized(wrong), wrong).toMatchObject({ status: 401 });
    }
    const anonymous = await ask({ port: PORT });
    expect(anonymous).toMatchObject({ status: 401, headers: { "www-authenticate": "Bearer" } });
    expect(JSON.parse(anonymous.text)).toMatchObject({ code: "UNAUTHENTICATED", remedy: expect.any(String) });
    expect(world.logged.join("")).not.toContain(TOKEN);
  });

  it.each([
    ["that others may read", 0o644, `${TOKEN}\n`],
    ["that the group may read", 0o640, `${TOKEN}\n`],
    ["that is too short", 0o600, "secret\n"],
    ["that is empty", 0o600, ""],
  ])("does not start with a token file %s", async (_, mode, text) => {
    await expect(start({ listen, tokenFile: tokenFile(mode, text) })).rejects.toMatchObject({
      code: "INVALID",
      details: { field: "api.tokenFile" },
    });
    expect(existsSync(join(world.directory, "api.sock"))).toBe(false);
  });

  it("names the port that somebody else has, and lets go of the unix socket", async () => {
    const other = createServer().listen(PORT, "127.0.0.1");
    try {
      await expect(start({ listen, tokenFile: tokenFile(0o600) })).rejects.toMatchObject({
        code: "UNAVAILABLE",
        message: expect.stringContaining(`127.0.0.1:${PORT}`),
      });
      expect(existsSync(join(world.directory, "api.sock"))).toBe(false);
    } finally {
      other.close();
    }
  });
});
