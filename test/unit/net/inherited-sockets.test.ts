import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { findInherited, type InheritedSocket, takeInheritedSockets } from "../../../src/net/inherited-sockets.ts";
import { openRawSocket } from "./raw-socket.ts";

const source = join(import.meta.dirname, "../../../src/net/inherited-sockets.ts");

const open: { close(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

function inherited(kind: "stream" | "datagram", onInterface?: string) {
  const socket = openRawSocket(kind, onInterface);
  open.push(socket);
  return socket;
}

/** Starts a Node as systemd would, with these descriptors from 3 on, and answers what `program` prints as JSON. */
async function started(fds: number[], variables: Record<string, string>, program: string): Promise<unknown> {
  const script = `import { takeInheritedSockets, findInherited } from ${JSON.stringify(source)};\n${program}`;
  const child = spawn("sh", ["-c", 'LISTEN_PID=$$ exec "$0" --input-type=module -e "$1"', process.execPath, script], {
    stdio: ["ignore", "pipe", "inherit", ...fds],
    env: { ...process.env, ...variables },
  });
  return JSON.parse(await text(child.stdout!));
}

describe("inherited sockets", () => {
  it("come by name and kind, and leave neither variables nor descriptors to children", async () => {
    const [dhcp, http] = [inherited("datagram", "lo"), inherited("stream")];
    const answer = await started(
      [dhcp.fd, http.fd, http.fd],
      { LISTEN_FDS: "3", LISTEN_FDNAMES: "dhcp-eth1:http-eth1:http-eth1" },
      `import { execFileSync } from "node:child_process"; import { readlinkSync } from "node:fs";
       const sockets = takeInheritedSockets(process.env);
       const inodes = [3, 4, 5].map((fd) => readlinkSync("/proc/self/fd/" + fd));
       const child = execFileSync("sh", ["-c", "ls -l /proc/$$/fd; env"], { encoding: "utf8" });
       const leaked = [...inodes, "LISTEN_"].filter((one) => child.includes(one));
       console.log(JSON.stringify({ sockets: [...sockets], leaked }));`,
    );
    expect(answer).toEqual({
      leaked: [],
      sockets: [
        ["dhcp-eth1", [{ fd: 3, kind: "datagram", interface: "lo" }]],
        [
          "http-eth1",
          [
            { fd: 4, kind: "stream" },
            { fd: 5, kind: "stream" },
          ],
        ],
      ],
    });
  });

  it("serve: a datagram is echoed, a connection is answered", async () => {
    const [dhcp, http] = [inherited("datagram"), inherited("stream")];
    const served = started(
      [dhcp.fd, http.fd],
      { LISTEN_FDS: "2", LISTEN_FDNAMES: "dhcp-eth1:http-eth1" },
      `import { createSocket } from "node:dgram"; import { createServer } from "node:net";
       const sockets = takeInheritedSockets(process.env);
       const server = createServer((one) => one.end("stream")).listen({ fd: findInherited(sockets, "http-eth1", "stream") });
       const udp = createSocket("udp4");
       udp.bind({ fd: findInherited(sockets, "dhcp-eth1", "datagram") });
       udp.on("message", (message, from) => udp.send(message, from.port, from.address, () => { udp.close(); server.close(); }));
       server.on("close", () => console.log('"closed"'));`,
    );
    // Ours share the sockets with the child: nobody here may hold them open in its place.
    for (const one of open.splice(0)) one.close();
    expect(await text(connect(http.port, "127.0.0.1"))).toBe("stream");
    const client = createSocket("udp4");
    open.push(client);
    client.send("datagram", dhcp.port, "127.0.0.1");
    const [message] = await once(client, "message");
    expect(String(message)).toBe("datagram");
    expect(await served).toBe("closed");
  });

  it("are none when the variables are missing or meant for another process; the variables go anyway", () => {
    expect(takeInheritedSockets({})).toEqual(new Map());
    const environment: NodeJS.ProcessEnv = { LISTEN_PID: "1", LISTEN_FDS: "2", LISTEN_FDNAMES: "a:b", PATH: "/bin" };
    expect(takeInheritedSockets(environment)).toEqual(new Map());
    expect(environment).toEqual({ PATH: "/bin" });
  });

  it.each([
    [{ LISTEN_FDS: "two" }, 'LISTEN_FDS is "two", not a number'],
    [{ LISTEN_FDS: "-1" }, 'LISTEN_FDS is "-1", not a number'],
    [{ LISTEN_FDS: "2", LISTEN_FDNAMES: "dhcp-eth1" }, "LISTEN_FDS is 2, but LISTEN_FDNAMES has 1 names"],
  ])("are refused when the variables contradict themselves: %j", (variables, message) => {
    expect(() => takeInheritedSockets({ ...variables, LISTEN_PID: String(process.pid) })).toThrow(message);
  });

  it("are refused when a descriptor is no socket", async () => {
    const file = openSync("/dev/null", "r");
    open.push({ close: () => closeSync(file) });
    const answer = await started(
      [file],
      { LISTEN_FDS: "1", LISTEN_FDNAMES: "dhcp-eth1" },
      `try { takeInheritedSockets(process.env) } catch ({ code, message }) { console.log(JSON.stringify({ code, message })) }`,
    );
    expect(answer).toEqual({
      code: "INVALID",
      message: "inherited sockets: descriptor 3 (dhcp-eth1) is not a stream, datagram or netlink socket",
    });
  });
});

describe("an inherited socket that is asked for", () => {
  const sockets = new Map<string, InheritedSocket[]>([
    ["dhcp-eth1", [{ fd: 3, kind: "datagram", interface: "eth1" }]],
    ["dhcp-eth2", [{ fd: 4, kind: "datagram" }]],
    [
      "twice",
      [
        { fd: 5, kind: "stream" },
        { fd: 6, kind: "stream" },
      ],
    ],
  ]);

  it("is found by name, kind and interface", () => {
    expect(findInherited(sockets, "dhcp-eth1", "datagram", "eth1")).toBe(3);
    expect(findInherited(sockets, "dhcp-eth2", "datagram")).toBe(4);
    expect(findInherited(sockets, "tftp-eth1", "datagram", "eth1")).toBeUndefined();
  });

  it.each<[name: string, kind: "stream" | "datagram", on: string | undefined, message: string]>([
    ["dhcp-eth1", "stream", undefined, "socket dhcp-eth1 is a datagram socket, not a stream one"],
    ["dhcp-eth1", "datagram", "eth2", "socket dhcp-eth1 is bound to eth1, not to eth2"],
    ["dhcp-eth2", "datagram", "eth2", "socket dhcp-eth2 is bound to no interface, not to eth2"],
    ["twice", "stream", undefined, "there are several sockets named twice"],
  ])("%s as %s on %s is refused", (name, kind, on, message) => {
    expect(() => findInherited(sockets, name, kind, on)).toThrow(message);
  });
});
