import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { listBoundSockets, listOwnInodes } from "../../../../src/operations/doctor/sockets.ts";

const PORT = 25_040;
const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

const find = async (protocol: "tcp" | "udp", port: number) =>
  (await listBoundSockets(protocol)).filter((one) => one.port === port);

describe("the sockets of this machine", () => {
  it("are found and known as ours", async () => {
    const server = createServer().listen(PORT, "127.0.0.1");
    const socket = createSocket("udp4").bind(PORT, "0.0.0.0");
    stops.push(
      () => server.close(),
      () => socket.close(),
    );
    await Promise.all([once(server, "listening"), once(socket, "listening")]);
    const own = await listOwnInodes();
    for (const [protocol, address] of [
      ["tcp", "127.0.0.1"],
      ["udp", "0.0.0.0"],
    ] as const) {
      const [found, ...more] = await find(protocol, PORT);
      expect(found).toMatchObject({ address });
      expect(own).toContain(found?.inode);
      expect(more).toEqual([]);
    }
  });

  it("are not ours when another process has them", async () => {
    const program = `require("net").createServer().listen(${PORT + 1}, "127.0.0.1", () => console.log("up"))`;
    const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    stops.push(() => child.kill("SIGKILL"));
    await once(child.stdout, "data");
    const [found] = await find("tcp", PORT + 1);
    expect(found).toBeDefined();
    expect(await listOwnInodes()).not.toContain(found?.inode);
  });

  it("do not count connections", async () => {
    const server = createServer().listen(PORT, "127.0.0.1");
    await once(server, "listening");
    const client = connect(PORT, "127.0.0.1");
    await once(client, "connect");
    stops.push(
      () => client.destroy(),
      () => server.close(),
    );
    expect(await find("tcp", PORT)).toHaveLength(1);
  });
});
