import { once } from "node:events";
import { request } from "node:http";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type RunningApi, startApi } from "../../../src/http/api/start-api.ts";
import { ApiWorld } from "./api-world.ts";

const SILENCE_MS = 200;

let world: ApiWorld;
let running: RunningApi;

beforeEach(async () => {
  world = await ApiWorld.start();
  running = await startApi(world.parts, SILENCE_MS);
});
afterEach(async () => {
  await running.stop();
  await world.end();
});

/** An upload whose first bytes are on their way, and the answer or the failure that it ends with. */
function begin(name: string, headers: Record<string, string>) {
  const { socketPath } = running;
  const path = `/v1/projects/default/images/${name}/content?format=raw`;
  const sender = request({ socketPath, method: "PUT", path, headers, agent: false });
  sender.write(Buffer.alloc(10));
  const ended = once(sender, "response").then(
    ([response]) => response.resume().statusCode as number,
    (error: NodeJS.ErrnoException) => error.code,
  );
  return { sender, ended };
}

it("ends a connection, but not one of an upload that ends where its body does", async () => {
  const piped = begin("piped", { "Transfer-Encoding": "chunked" });
  // twice as long, and longer: each began after the one before had ended
  for (const name of ["first", "second"]) {
    expect(await begin(name, { "Content-Length": "20" }).ended).toBe("ECONNRESET");
  }
  piped.sender.end(Buffer.alloc(10));
  expect(await piped.ended).toBe(202);
});
