import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ApiClient } from "../../../src/cli/api-client.ts";
import { download } from "../../../src/cli/download.ts";

let directory: string;
let server: Server;
/** How the content is answered. */
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "ingot-download-"));
  server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(join(directory, "api"), resolve));
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

const fetchIt = () =>
  download({
    ...{ api: new ApiClient({ socket: join(directory, "api") }), path: "/content", file: join(directory, "file") },
    ...{ ranges: true, terminal: {} as never, quiet: true },
  });

const refuse = (response: ServerResponse, field: string) =>
  response.writeHead(409).end(JSON.stringify({ code: "CONFLICT", detail: "refused", field }));

it("begins anew where the layout changed between the appliance's look at it and its first byte", async () => {
  const layouts = ["first", "second"];
  answer = ({ method }, response) => {
    const [layout] = layouts;
    if (method === "GET" && layouts.length > 1) {
      layouts.shift();
      refuse(response, "layout");
      return;
    }
    response.writeHead(200, { ETag: `"${layout}"`, "Content-Length": layout!.length });
    response.end(method === "HEAD" ? undefined : layout);
  };
  expect(await fetchIt()).toMatchObject({ bytes: 6 });
  expect(readFileSync(join(directory, "file"), "utf8")).toBe("second");
  expect(readdirSync(directory).sort()).toEqual(["api", "file"]);
});

it("gives up where the layout never stays, and at any other conflict at once", async () => {
  let asked = 0;
  let field = "layout";
  answer = ({ method }, response) => {
    if (method === "HEAD") return response.writeHead(200, { ETag: `"${asked}"` }).end();
    asked++;
    return refuse(response, field);
  };
  await expect(fetchIt()).rejects.toMatchObject({ code: "CONFLICT" });
  expect(asked).toBe(5);
  expect(readdirSync(directory)).toEqual(["api"]);
  field = "image";
  await expect(fetchIt()).rejects.toMatchObject({ code: "CONFLICT", message: "refused" });
  expect(asked).toBe(6);
});
