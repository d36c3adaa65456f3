import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { createSerialConsoles } from "../../src/drivers/console/create-serial-consoles.ts";
import type { SerialConsole, SerialLine } from "../../src/drivers/console/serial-console.ts";
import { createIpmiShared } from "../../src/drivers/power/ipmi-commands.ts";
import { MemorySerialConsole } from "../fakes/memory-serial-console.ts";
import { startBmc } from "../lab/bmc.ts";
import { destroyEverything, endProcess, startProcess } from "../lab/lab-state.ts";
import { runProgram } from "../lab/program.ts";

/** What every SerialConsole must do, against the fake, and against ipmitool talking to a real BMC (ipmi_sim) with a serial line behind it. */

const ADDRESS = "127.0.0.1";
const PORT = 24020;
const NOBODY_PORT = 24021;
const PASSWORD = "corr-horse-7";
const PATIENT = { timeout: 60_000 };
const directory = join(tmpdir(), "hdp-console-contract");
const signal = () => AbortSignal.timeout(60_000);

/** The machine's end of the line. */
const machine = { heard: "", sockets: new Set<Socket>(), say: (_: string) => {} };
let server: Server;

const account = (changes: { port?: number; password?: string } = {}) =>
  ({ driver: "ipmi", address: ADDRESS, port: PORT, user: "admin", password: PASSWORD, ...changes }) as const;
const consoles = createSerialConsoles(createIpmiShared());

function start(): Promise<void> {
  return startBmc({
    ...{ name: "n1", directory: join(directory, "n1"), stateDirectory: directory, serialLine: true },
    ...{ address: ADDRESS, port: PORT, user: "admin", password: PASSWORD },
    start: (argv, options) => startProcess(directory, argv, options),
    run: ([program = "", ...args], options) => runProgram(program, args, options),
  });
}

beforeAll(async () => {
  await destroyEverything(directory);
  mkdirSync(join(directory, "n1"), { recursive: true });
  writeFileSync(join(directory, "n1", "qemu"), "sleep\n1000\n");
  server = createServer((socket) => {
    machine.sockets.add(socket);
    socket.on("data", (chunk) => {
      machine.heard += chunk.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => machine.sockets.delete(socket));
  }).listen(PORT, ADDRESS);
  machine.say = (text) => {
    for (const socket of machine.sockets) socket.write(text, "latin1");
  };
  await start();
});
afterAll(async () => {
  for (const socket of machine.sockets) socket.destroy();
  server.close();
  await destroyEverything(directory);
});

type Machine = { heard: () => string; say: (text: string) => void };
const fake = new MemorySerialConsole();
const implementations: [name: string, make: () => SerialConsole, machine: Machine][] = [
  ["the fake", () => fake, { heard: () => fake.typed, say: (text) => fake.say(text) }],
  ["ipmi-sol", () => consoles(account()), { heard: () => machine.heard, say: (text) => machine.say(text) }],
];

describe.each(implementations)("serial console: %s", (_name, make, { heard, say }) => {
  const lines: SerialLine[] = [];
  const open = async (hear: (bytes: Uint8Array) => void = () => {}) => {
    const line = await make().open(hear, signal());
    lines.push(line);
    return line;
  };
  afterEach(() => Promise.all(lines.splice(0).map((line) => line.close())));

  it("brings what the machine says, byte by byte, and takes what is typed", async () => {
    let said = "";
    const line = await open((bytes) => {
      said += Buffer.from(bytes).toString("latin1");
    });
    // all bytes but those that a terminal would change in 7-bit dress: none may be
    const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join("");
    const text = _name === "the fake" ? "plain" : bytes;
    say(text);
    await vi.waitFor(() => expect(said).toBe(text), PATIENT);
    const before = heard().length;
    const typed = "~. ls\r~.\r~~x~\rq";
    expect(line.write(Buffer.from(typed))).toBe(true);
    await vi.waitFor(() => expect(heard().slice(before)).toBe(typed), PATIENT);
  });

  it("is had by one at a time, the last who opened it", async () => {
    await open();
    let said = "";
    await open((bytes) => {
      said += Buffer.from(bytes).toString();
    });
    say("to the second");
    await vi.waitFor(() => expect(said).toBe("to the second"), PATIENT);
  });

  it("ends when it is closed, also in the middle of a line, and again", async () => {
    for (const typed of ["", "half a line"]) {
      const line = await open();
      line.write(Buffer.from(typed));
      await line.close();
      await line.close();
      await line.ended;
      expect(line.write(Buffer.from("to nobody"))).toBe(false);
    }
    await open();
    expect(heard()).not.toContain("to nobody");
  });

  it("opens nothing once nobody wants it", async () => {
    await expect(make().open(() => {}, AbortSignal.abort())).rejects.toMatchObject({ code: "CANCELLED" });
  });
});

describe("serial console: ipmi-sol", () => {
  it("says what keeps it from the line, and never the password", async () => {
    const refusals = [
      [account({ password: "other-secret" }), "UNAUTHENTICATED"],
      [account({ port: NOBODY_PORT }), "UNAVAILABLE"],
    ] as const;
    for (const [one, code] of refusals) {
      const failure = await consoles(one)
        .open(() => {}, signal())
        .catch((error) => error);
      expect(failure).toMatchObject({ code });
      expect(JSON.stringify([failure.message, failure.details])).not.toContain(one.password);
    }
    await expect(consoles({ driver: "manual", node: "n1" }).open(() => {}, signal())).rejects.toMatchObject({
      code: "UNSUPPORTED",
    });
  });

  it("keeps the password out of what others see of its program", async () => {
    const line = await consoles(account()).open(() => {}, signal());
    const commands = ipmitools().map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    await line.close();
    expect(commands).toHaveLength(1);
    expect(commands[0]).toContain("activate");
    expect(commands.join()).not.toContain(PASSWORD);
    expect(ipmitools()).toEqual([]);
  });

  it("ends when the BMC goes, and opens again when it is back", async () => {
    const line = await consoles(account()).open(() => {}, signal());
    await endProcess(directory, "n1.bmc");
    expect(await line.ended).toMatch(/\w/);
    await start();
    let said = "";
    const again = await consoles(account()).open((bytes) => {
      said += Buffer.from(bytes).toString();
    }, signal());
    machine.say("back");
    await vi.waitFor(() => expect(said).toBe("back"), PATIENT);
    await again.close();
  });

  it("ends when somebody else ended its session, and not while nobody did", async () => {
    const watched = createSerialConsoles(createIpmiShared(), 1);
    let said = "";
    const line = await watched(account()).open((bytes) => {
      said += Buffer.from(bytes).toString();
    }, signal());
    // it was looked after meanwhile, more than once
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    machine.say("still here");
    await vi.waitFor(() => expect(said).toBe("still here"), PATIENT);
    const bmc = ["-I", "lanplus", "-C", "3", "-H", ADDRESS, "-p", String(PORT), "-U", "admin", "-P", PASSWORD];
    await runProgram("ipmitool", [...bmc, "sol", "deactivate"]);
    expect(await line.ended).toBe("its session on the BMC was ended by somebody else");
    expect(ipmitools()).toEqual([]);
  });

  it("leaves no program behind a process that is killed", async () => {
    const source = new URL("../../src/drivers", import.meta.url).href;
    // a child that was begun in between holds the terminals too
    const script = `
      const { createSerialConsoles } = await import("${source}/console/create-serial-consoles.ts");
      const { createIpmiShared } = await import("${source}/power/ipmi-commands.ts");
      const { spawn } = await import("node:child_process");
      const consoles = createSerialConsoles(createIpmiShared());
      await consoles(${JSON.stringify(account())}).open(() => {}, AbortSignal.timeout(60_000));
      const child = spawn("sleep", ["60"], { stdio: "ignore" });
      console.log(child.pid);
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [pid] = await once(owner.stdout, "data");
    try {
      expect(ipmitools()).toHaveLength(1);
      owner.kill("SIGKILL");
      await once(owner, "exit");
      await vi.waitFor(() => expect(ipmitools()).toEqual([]), PATIENT);
      expect(existsSync(`/proc/${Number(String(pid))}`)).toBe(true);
    } finally {
      process.kill(Number(String(pid)), "SIGKILL");
    }
  });
});

/** Processes of ipmitool that hold a line of this BMC. */
function ipmitools(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const [, state] = /^State:\s*(\w)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return state !== "Z" && words[0] === "ipmitool" && words.includes(String(PORT)) && words.includes("activate");
      } catch {
        // it is gone
        return false;
      }
    })
    .map(Number);
}
