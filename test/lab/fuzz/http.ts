import { connect } from "node:net";
import type { Burst } from "./main.ts";
import { mutate } from "./mutate.ts";
import type { FuzzTask } from "./report.ts";

const CLIENTS = 32;
/** A mutant may announce a body that never comes: the server waits longer for it than we do. */
const PATIENCE_MS = 200;
/** Enough that a mutant whose end was lost goes on to be answered. */
const END = "\r\n\r\n";

/** Mutants of what firmware, iPXE and operating systems ask, each over a connection of its own. */
export async function httpBurst(task: FuzzTask, random: (limit: number) => number): Promise<Burst> {
  const mac = task.honest[0]?.mac;
  const head = `Host: ${task.server}\r\nConnection: keep-alive\r\nUser-Agent: iPXE/1.21.1+\r\n`;
  const body = "hostname=node&kernel=6.1.0";
  const form = `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const range = `Range: bytes=0-99,200-\r\nIf-None-Match: "x"\r\n\r\n`;
  const asked: [method: string, path: string, rest: string][] = [
    ["GET", `/boot/${mac}`, "\r\n"],
    ["GET", "/boot/52:54:00:12:34:56", "\r\n"],
    ["POST", `/boot/${mac}/ready`, form],
    ["HEAD", "/assets/snponly.efi", "\r\n"],
    ["GET", "/assets/undionly.kpxe", range],
    ["GET", "/assets/../../etc/passwd", "\r\n"],
  ];
  const text = (method: string, path: string, rest: string) =>
    Buffer.from(`${method} ${path} HTTP/1.1\r\n${head}${rest}`, "latin1");
  const seeds = asked.map((one) => text(...one));
  const paths = asked.map(([, path]) => Buffer.from(path));
  /** Half of them are broken anywhere, the others are sound HTTP with a broken path: the first seldom pass the parser. */
  const request = () => {
    if (random(2) === 0) return Buffer.concat([mutate(seeds, random), Buffer.from(END)]);
    const [method, , rest] = asked[random(asked.length)] as (typeof asked)[number];
    return text(method, `/${escapeBytes(mutate(paths, random))}`, rest);
  };
  return async (count) => {
    let left = count;
    let pastCodec = 0;
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, index) => {
        while (left > 0) {
          left -= 1;
          const status = await ask(request(), task.server, `10.77.20.${1 + index}`);
          if (status !== undefined && status !== 400) pastCodec += 1;
        }
      }),
    );
    return { sent: count, pastCodec };
  };
}

/** What may stand in a path stays, some of it as it must not; the rest is percent-encoded. */
function escapeBytes(bytes: Buffer): string {
  return bytes.toString("latin1").replaceAll(/[^!-~]/g, (one) => `%${one.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** The status that came back; undefined when the server closed without one, or waits for more. */
async function ask(request: Buffer, host: string, localAddress: string): Promise<number | undefined> {
  const socket = connect({ host, port: 80, localAddress });
  socket.on("connect", () => socket.write(request));
  const answer = await new Promise<string>((resolve) => {
    const timer = setTimeout(() => resolve(""), PATIENCE_MS);
    const end = (heard: string) => {
      clearTimeout(timer);
      resolve(heard);
    };
    socket.on("data", (bytes) => end(bytes.toString("latin1", 0, 64)));
    socket.on("error", () => end(""));
    socket.on("close", () => end(""));
  });
  // what is left of the answer, or of a request that was two, belongs to nobody
  socket.destroy();
  const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
  return status === undefined ? undefined : Number(status);
}
