import { readFileSync } from "node:fs";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HilServer } from "../../fakes/hil/hil-server.ts";
import { ObmdServer } from "../../fakes/hil/obmd-server.ts";

/**
 * Proves the double of HIL: each exchange with the real one goes the same way with it, in status, type of error and JSON.
 * Texts of messages, HTML and times are not of the contract.
 */

type Exchange = {
  title: string;
  server?: "obmd";
  method: string;
  path: string;
  auth?: string;
  authorization?: string;
  /** Null: none is sent. */
  contentType?: string | null;
  body?: string;
  /** Whether the one who recorded it had redirects followed. */
  followed?: true;
  /** Whether he had asked before, until the networking daemon had looked. */
  polled?: true;
  status: number;
  location?: string;
  json?: unknown;
  text?: "none" | "html" | "other";
};
type Scenario = {
  scenario: string;
  fresh: boolean;
  auth: "database" | "null";
  allocator: "vlan_pool" | "null";
  pool: [number, number];
  daemon: boolean;
  exchanges: Exchange[];
};
const scenarios: Scenario[] = JSON.parse(
  readFileSync(new URL("../../fixtures/hil/recording.json", import.meta.url), "utf8"),
);

let hil: HilServer;
let obmd: ObmdServer;
let captured: Map<string, string>;

beforeAll(async () => {
  obmd = await new ObmdServer().start();
});
afterAll(async () => {
  await hil?.stop();
  await obmd.stop();
});

describe.each(scenarios)("the double of HIL replays $scenario", (scenario) => {
  beforeAll(async () => {
    if (!scenario.fresh) return;
    await hil?.stop();
    const { auth, allocator, pool, daemon } = scenario;
    hil = await new HilServer({ auth, allocator, pool }, { daemon }).start();
    captured = new Map();
  });

  it("exchange by exchange", async () => {
    for (const exchange of scenario.exchanges) await replay(exchange);
  });
});

/** What is read may lag: then the daemon looks once more, as it had when the exchange was recorded. */
async function replay(exchange: Exchange): Promise<void> {
  if (exchange.polled) {
    hil.daemon.start();
    await hil.daemon.round();
  }
  const first = await ask(exchange);
  const lags = exchange.method === "GET" && !exchange.polled && !agrees(first, exchange);
  if (lags) await hil.daemon.round();
  const answer = lags ? await ask(exchange) : first;
  expect.soft(answer, exchange.title).toEqual(expected(exchange));
}

const agrees = (answer: Answer, exchange: Exchange) => {
  try {
    expect(answer).toEqual(expected(exchange));
    return true;
  } catch {
    return false;
  }
};

type Answer = { status: number; location?: unknown; json?: unknown; text?: unknown };

function expected({ server, status, location, json, text }: Exchange): Answer {
  const answer: Answer = { status };
  if (location !== undefined) answer.location = here(location);
  else if (json !== undefined) answer.json = shape(json, status);
  // Of OBMd's refusals only the status is of use.
  else if (server !== "obmd") answer.text = text;
  return answer;
}

/** As it is compared: of an error its type, of lists of names their members, of what is invented its kind. */
function shape(json: unknown, status: number): unknown {
  if (status >= 400) return { type: (json as { type: string }).type };
  return JSON.parse(JSON.stringify(json), (key, value) => {
    if (typeof value === "string") return kind(here(value));
    const names = Array.isArray(value) && value.every((item) => typeof item === "string") && key !== "channels";
    return names ? value.sort() : value;
  });
}

/** An invented id is as good as another, and JSON inside a string however it is spaced. */
const kind = (text: string): unknown =>
  /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(text) ? "a uuid" : /^[[{"]/.test(text) ? JSON.parse(text) : text;

async function ask(exchange: Exchange): Promise<Answer> {
  const { server, method, auth, authorization, contentType = "application/json", body, followed, location } = exchange;
  const headers: Record<string, string> = {};
  if (auth !== undefined) headers.authorization = `Basic ${Buffer.from(auth).toString("base64")}`;
  if (authorization !== undefined) headers.authorization = authorization;
  const send = (url: string, credentials: boolean) => call(method, url, credentials ? headers : {}, contentType, body);
  let answer = await send(`${server === "obmd" ? obmd.url : hil.url}${here(exchange.path)}`, true);
  if (followed) answer = await send(answer.location ?? "", false);
  if (answer.location !== undefined) {
    capture(location ?? "", answer.location);
    return { status: answer.status, location: answer.location };
  }
  if (exchange.json !== undefined && typeof answer.json === "object" && answer.json !== null) {
    for (const [key, value] of Object.entries(exchange.json ?? {}))
      if (typeof value === "string") capture(value, String((answer.json as Record<string, unknown>)[key]));
    return { status: answer.status, json: shape(answer.json, answer.status) };
  }
  return { status: answer.status, ...(server !== "obmd" && { text: answer.text }) };
}

/** Keeps what stands for `{name}` at the end of the template, the first time. */
function capture(template: string, actual: string): void {
  const [, before = "", name = ""] = /^(.*)\{(\w+)\}$/.exec(template) ?? [];
  if (name !== "" && !captured.has(name)) captured.set(name, actual.slice(here(before).length));
}

/** With what was captured, and the addresses of today. */
function here(template: string): string {
  return template
    .replaceAll("http://127.0.0.1:5001", obmd.url)
    .replace(/\{(\w+)\}/g, (whole, name) => captured.get(name) ?? whole);
}

type Raw = { status: number; location?: string; json?: unknown; text: "none" | "html" | "other" };

async function call(
  method: string,
  url: string,
  headers: Record<string, string>,
  contentType: string | null,
  body?: string,
): Promise<Raw> {
  const type = body !== undefined && contentType !== null ? { "content-type": contentType } : {};
  const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(here(body))) };
  return await new Promise((resolve, reject) => {
    const sent = request(url, { method, headers: { ...headers, ...type, ...length }, agent: false }, (answer) => {
      let text = "";
      const done = () => {
        const { location } = answer.headers;
        const kind = text === "" ? "none" : text.startsWith("<") ? "html" : "other";
        const raw = {
          status: answer.statusCode ?? 0,
          text: kind,
          ...(location !== undefined && { location }),
        } as const;
        resolve(kind === "other" && /^[[{]/.test(text) ? { ...raw, json: JSON.parse(text) } : raw);
      };
      answer.setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
        // A console never ends by itself.
        if (url.includes("/console") && answer.statusCode === 200) {
          done();
          answer.destroy();
        }
      });
      answer.on("end", done);
    });
    sent.on("error", reject);
    sent.end(body === undefined ? undefined : here(body));
  });
}
