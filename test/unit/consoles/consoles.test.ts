import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { Consoles } from "../../../src/consoles/consoles.ts";
import { ApplianceError } from "../../../src/errors.ts";
import { createLog } from "../../../src/log.ts";
import type { NodeRecord } from "../../../src/nodes/node.ts";
import { MemorySerialConsole } from "../../fakes/memory-serial-console.ts";

const PATIENT = { timeout: 10_000 };
/** Pauses as long as they are counted, not as long as they are. */
const hasty: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 5), signal) };

let directory: string;
let consoles: Consoles;
let nodes: Map<string, NodeRecord>;
let lines: Map<string, MemorySerialConsole>;
let onChange: (id: string) => void;

const node = (id: string, changes: Partial<NodeRecord> = {}): NodeRecord => ({
  ...{ id, name: id, project: "red", nics: [], firmware: "bios", loader: "auto", createdAt: 0, requestedBy: "test" },
  power: { driver: "ipmi", address: "127.0.0.1", port: 623, user: "admin" },
  ...changes,
});
const put = (record: NodeRecord) => {
  nodes.set(record.id, record);
  if (!lines.has(record.id)) lines.set(record.id, new MemorySerialConsole());
  onChange(record.id);
};
const lineOf = (id: string) => lines.get(id) as MemorySerialConsole;
const consoleOf = (id: string) => consoles.of(nodes.get(id) as NodeRecord);
const isOpen = (id: string) => vi.waitFor(() => expect(consoleOf(id).state.state).toBe("open"), PATIENT);
const said = async (id: string) => {
  const { record } = consoleOf(id);
  return (await record.read(record.start, record.end)).toString();
};

function begin(enabled = true): void {
  consoles = new Consoles({
    nodes: {
      list: () => [...nodes.values()],
      find: (id) => nodes.get(id),
      watch: (listener) => {
        onChange = listener;
      },
    },
    config: { stateDirectory: directory, consoles: { enabled, maxBytes: 65_536 } },
    serialConsoleOf: ({ id }) => lineOf(id),
    clock: hasty,
    log: createLog("silent"),
  });
  consoles.start();
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ingot-consoles-"));
  nodes = new Map();
  lines = new Map();
  onChange = () => {};
});
afterEach(async () => {
  await consoles.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe("the consoles of an appliance", () => {
  it("log what each node says, from its registration to its end", async () => {
    begin();
    put(node("n1"));
    put(node("n2"));
    await Promise.all([isOpen("n1"), isOpen("n2")]);
    lineOf("n1").say("I am one");
    lineOf("n2").say("I am two");
    expect(await said("n1")).toMatch(/^\r\n\[ingot [^\]]*: console open\]\r\nI am one$/);
    expect(await said("n2")).toMatch(/I am two$/);
    nodes.delete("n1");
    onChange("n1");
    await vi.waitFor(() => expect(readdirSync(join(directory, "consoles"))).toEqual(["n2@red"]), PATIENT);
    expect(lineOf("n1").isOpen).toBe(false);
    expect(lineOf("n2").isOpen).toBe(true);
  });

  it("keep their logs over a restart, and remove those that nobody has", async () => {
    begin();
    put(node("n1"));
    await isOpen("n1");
    lineOf("n1").say("before");
    await consoles.stop();
    expect(lineOf("n1").isOpen).toBe(false);
    mkdirSync(join(directory, "consoles/gone@red"));
    writeFileSync(join(directory, "consoles/gone@red/000000000000000.log"), "secret");
    begin();
    await isOpen("n1");
    lineOf("n1").say("after");
    expect(await said("n1")).toMatch(/before.*console closed: ingotd ends it.*console open.*after$/s);
    await vi.waitFor(() => expect(existsSync(join(directory, "consoles/gone@red"))).toBe(false), PATIENT);
  });

  it("open a line anew that broke, and say why one does not open", async () => {
    begin();
    put(node("n1"));
    put(node("n2"));
    await Promise.all([isOpen("n1"), isOpen("n2")]);
    lineOf("n1").refusal = new ApplianceError("UNAVAILABLE", "BMC does not answer", { details: { remedy: "cable" } });
    lineOf("n1").break("SOL session closed by BMC");
    await vi.waitFor(
      () =>
        expect(consoleOf("n1").state).toMatchObject({ state: "waiting", why: "BMC does not answer", remedy: "cable" }),
      PATIENT,
    );
    expect(() => consoleOf("n1").type(Buffer.from("x"))).toThrow("not open: BMC does not answer");
    expect(lineOf("n2").isOpen).toBe(true);
    lineOf("n1").refusal = undefined;
    await isOpen("n1");
    consoleOf("n1").type(Buffer.from("ls\r"));
    expect(lineOf("n1").typed).toBe("ls\r");
    expect(await said("n1")).toMatch(/console closed: SOL session closed by BMC.*console open/s);
    expect(lineOf("n2").opened).toBe(1);
  });

  it("show a project nothing of what was said before the node was its own", async () => {
    begin();
    put(node("n1"));
    await isOpen("n1");
    lineOf("n1").say("red's secret");
    await consoleOf("n1").record.read(0, 0);
    const heard: string[] = [];
    const red = (async () => {
      const { record } = consoleOf("n1");
      for await (const bytes of consoleOf("n1").follow(record.end, new AbortController().signal))
        heard.push(`${bytes}`);
    })();
    const closed = Promise.withResolvers<void>();
    lineOf("n1").closing = closed.promise;
    const reds = consoleOf("n1");
    put(node("n1", { project: "blue" }));
    expect(() => reds.type(Buffer.from("red's command\r"))).toThrow("not open: it is given up");
    expect(lineOf("n1").typed).toBe("");
    // cut off at once, also while the line takes its time to end
    await red;
    expect(() => consoleOf("n1")).toThrow("begins just now");
    await systemClock.sleep(100);
    expect(lineOf("n1").opened).toBe(1);
    closed.resolve();
    await isOpen("n1");
    lineOf("n1").say("blue's secret");
    expect(await said("n1")).not.toContain("red's");
    expect(await said("n1")).toContain("blue's secret");
    expect(heard.join("")).not.toContain("blue's");
    expect(lineOf("n1")).toMatchObject({ opened: 2, taken: 0 });
    await vi.waitFor(() => expect(readdirSync(join(directory, "consoles"))).toEqual(["n1@blue"]), PATIENT);
  });

  it("tell who has none, and when they are switched off", async () => {
    begin();
    put(node("n1", { power: { driver: "manual" } }));
    expect(() => consoleOf("n1")).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
    await consoles.stop();
    begin(false);
    put(node("n2"));
    expect(() => consoleOf("n2")).toThrow("switched off");
    expect(lineOf("n2").opened).toBe(0);
  });

  it("show what was said and what comes, each byte once, to all who follow", async () => {
    begin();
    put(node("n1"));
    await isOpen("n1");
    lineOf("n1").say("one ");
    const leave = new AbortController();
    const heard = ["", ""];
    const { record } = consoleOf("n1");
    const from = record.end - 4;
    const following = heard.map(async (_, at) => {
      for await (const bytes of consoleOf("n1").follow(from, leave.signal)) heard[at] += bytes.toString();
    });
    lineOf("n1").say("two ");
    await vi.waitFor(() => expect(heard).toEqual(["one two ", "one two "]), PATIENT);
    lineOf("n1").say("three");
    await vi.waitFor(() => expect(heard).toEqual(["one two three", "one two three"]), PATIENT);
    leave.abort();
    await Promise.all(following);
  });

  it("drop what a line says too fast, and say how much", async () => {
    begin();
    put(node("n1"));
    await isOpen("n1");
    const now = vi.spyOn(hasty, "now").mockReturnValue(Date.now() + 10_000);
    try {
      for (let time = 0; time < 100; time++) {
        lineOf("n1").say("z".repeat(10_000));
        await consoleOf("n1").record.read(0, 0);
      }
      now.mockReturnValue(Date.now() + 12_000);
      lineOf("n1").say("calm again");
    } finally {
      now.mockRestore();
    }
    const text = await said("n1");
    const [, dropped] = /\[ingot [^\]]*: (\d+) bytes dropped, too many at once\]\r\ncalm again$/.exec(text) ?? [];
    expect(Number(dropped)).toBe(1_000_000 - 260_000);
  });
});
