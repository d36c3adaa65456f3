import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiClient } from "../../../src/cli/api-client.ts";
import { ConsoleKeys } from "../../../src/cli/console-keys.ts";
import { followConsole } from "../../../src/cli/follow-console.ts";
import { lastLines, serialLines } from "../../../src/cli/text/serial-text.ts";
import { createApi } from "../../../src/http/api/create-api.ts";
import { type RunningApi, startApi } from "../../../src/http/api/start-api.ts";
import { ApiWorld, askerOf, PATIENT, read } from "./api-world.ts";

/** Consoles over the API, and as the command line uses it. */

let world: ApiWorld;
let running: RunningApi;
let client: ApiClient;
const { ask } = askerOf(() => createApi(world.parts, world.gate));
const node = (name: string, last: string, power: object) => ({
  ...{ name, nics: [{ mac: `52:54:00:aa:cc:${last}`, network: "prov" }], firmware: "uefi", power },
});
const line = () => {
  const found = world.lines.get("n1");
  if (!found) throw new Error("nobody opened it yet");
  return found;
};
const console = () => read(ask("GET", "/v1/nodes/n1/console"));

beforeEach(async () => {
  world = await ApiWorld.start();
  running = await startApi(world.parts, 300);
  client = new ApiClient({ socket: running.socketPath });
  const bmc = { driver: "ipmi", address: "10.9.0.1", user: "admin", passwordFile: "/etc/ingot/bmc" };
  await ask("POST", "/v1/nodes", node("n1", "01", bmc));
  await ask("POST", "/v1/nodes", node("bench", "02", { driver: "manual" }));
  await vi.waitFor(async () => expect((await console()).state).toBe("open"), PATIENT);
});
afterEach(async () => {
  await running.stop();
  await world.end();
});

describe("a console", () => {
  it("shows what was said, from a place on, and refuses nodes without one", async () => {
    line().say("hello");
    const { end } = await console();
    const said = await ask("GET", `/v1/nodes/n1/console/output?from=${end - 4}`);
    expect(said.headers.get("Ingot-Console-Start")).toBe(String(end - 4));
    expect(await said.text()).toBe("ello");
    expect(await (await ask("GET", "/v1/nodes/n1/console/output?bytes=2")).text()).toBe("lo");
    expect(await (await ask("GET", `/v1/nodes/n1/console/output?from=${end + 99}`)).text()).toBe("");
    expect(await read(ask("GET", "/v1/nodes/bench/console"))).toMatchObject({ code: "UNSUPPORTED" });
  });

  it("is followed however long it is silent, and goes on where it was when ingotd restarts", async () => {
    const leave = new AbortController();
    let said = "";
    const { end } = await console();
    const show = (bytes: Buffer) => {
      said += bytes.toString();
    };
    const following = followConsole(client, "/v1/nodes/n1/console/output", end, show, leave.signal);
    line().say("one ");
    await vi.waitFor(() => expect(said).toBe("one "), PATIENT);
    // longer than the API bears silence elsewhere
    await new Promise((resolve) => setTimeout(resolve, 700));
    line().say("two ");
    await vi.waitFor(() => expect(said).toBe("one two "), PATIENT);
    await running.stop();
    line().say("three");
    running = await startApi(world.parts, 300);
    await vi.waitFor(() => expect(said).toBe("one two three"), PATIENT);
    leave.abort();
    await following;
  });

  it("takes keys as they are pressed, and the audit log has how many they were", async () => {
    const refused: unknown[] = [];
    let hasLeft = false;
    const newKeys = (name: string) =>
      new ConsoleKeys({
        type: (typed) => client.type(`/v1/nodes/${name}/console/input`, typed),
        leave: () => {
          hasLeft = true;
        },
        refuse: (error) => void refused.push(error),
      });
    const keys = newKeys("n1");
    keys.press(Buffer.from("l"));
    await vi.waitFor(() => expect(line().typed).toBe("l"), PATIENT);
    keys.press(Buffer.from("s\r"));
    await vi.waitFor(() => expect(line().typed).toBe("ls\r"), PATIENT);
    keys.press(Buffer.from("\x03\x1dnever"));
    await vi.waitFor(() => expect(line().typed).toBe("ls\r\x03"), PATIENT);
    expect(hasLeft).toBe(true);
    keys.end();
    const entry = () => world.parts.audit.last(9, ({ kind, path }) => kind === "answer" && /input$/.test(path ?? ""));
    await vi.waitFor(
      async () => expect(await entry()).toMatchObject([{ status: 200, summary: "console of node n1: 4 bytes typed" }]),
      PATIENT,
    );
    newKeys("bench").press(Buffer.from("x"));
    await vi.waitFor(() => expect(refused).toMatchObject([{ code: "UNSUPPORTED" }]), PATIENT);
  });
});

it("makes lines of what was said", () => {
  const said = "a\x1b[1;31mred\x1b[0m\tb\r\nCtrl-B...\b \b\b \b\r\n\x1b]0;title\x07\x9b2Jend";
  expect(serialLines(said)).toEqual(["ared    b", "Ctrl-B...", "�2Jend"]);
  expect(lastLines(Buffer.from("1\n2\n3\n4"), 2).toString()).toBe("3\n4");
  expect(lastLines(Buffer.from("1\n2\n3\n"), 2).toString()).toBe("2\n3\n");
  expect(lastLines(Buffer.from("1\n2"), 9).toString()).toBe("1\n2");
});
