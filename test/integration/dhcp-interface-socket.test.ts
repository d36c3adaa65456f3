import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { asNobody } from "../lab/as-nobody.ts";
import { Lines, Namespaces } from "./namespaces.ts";

/**
 *   hdl-sock-s (unprivileged listener)
 *     left 10.60.1.1/24  ---------  nic 10.60.1.2/24   hdl-sock-l
 *     right 10.60.2.1/24 ---------  nic 10.60.2.2/24   hdl-sock-r
 */
const SERVER = "hdl-sock-s";
const LEFT = "hdl-sock-l";
const RIGHT = "hdl-sock-r";
const LISTENER = asNobody([process.execPath, `${import.meta.dirname}/programs/hear-datagrams.ts`]);

/** Sends one broadcast to port 67 from port 68 and prints each answer that comes back. */
const TALKER = `
  const socket = require("node:dgram").createSocket("udp4");
  socket.on("message", (text) => console.log(String(text)));
  socket.bind(68, () => {
    socket.setBroadcast(true);
    process.stdin.on("data", (text) =>
      socket.send(String(text).trim(), 67, "255.255.255.255", () => console.log("sent")));
    console.log("ready");
  });`;

describe("a socket of one interface", () => {
  let namespaces: Namespaces;

  beforeAll(() => {
    namespaces = new Namespaces(SERVER, LEFT, RIGHT);
    for (const [side, peer, net] of [
      ["left", LEFT, "10.60.1"],
      ["right", RIGHT, "10.60.2"],
    ] as const) {
      namespaces.cable(
        { namespace: SERVER, interface: side, addresses: [`${net}.1/24`] },
        { namespace: peer, interface: "nic", addresses: [`${net}.2/24`] },
      );
      namespaces.run(peer, ["ip", "route", "add", "255.255.255.255", "dev", "nic"]);
    }
  });

  afterEach(() => namespaces.stopAll());
  afterAll(() => namespaces.remove());

  async function start(namespace: string, command: string[]) {
    const child = namespaces.start(namespace, command);
    const lines = new Lines(child);
    await lines.next(/^(ready|error .*)$/);
    return { child, lines, say: (text: string) => child.stdin?.write(`${text}\n`) };
  }

  it("hears and answers the broadcasts of its own interface alone, on port 67, unprivileged", async () => {
    const listener = await start(SERVER, [...LISTENER, "left=0.0.0.0:67"]);
    const left = await start(LEFT, [process.execPath, "-e", TALKER]);
    const right = await start(RIGHT, [process.execPath, "-e", TALKER]);
    right.say("from the right");
    await right.lines.next(/sent/);
    left.say("from the left");
    expect(await left.lines.next(/seen/)).toBe("seen on left");
    await listener.lines.next(/the left/);
    expect(listener.lines.all).toEqual(["ready", "left 10.60.1.2 from the left"]);
    expect(right.lines.all).toEqual(["ready", "sent"]);
  });

  it("serves two interfaces on the same port without crossing", async () => {
    const listener = await start(SERVER, [...LISTENER, "left=0.0.0.0:67", "right=0.0.0.0:67"]);
    const left = await start(LEFT, [process.execPath, "-e", TALKER]);
    const right = await start(RIGHT, [process.execPath, "-e", TALKER]);
    left.say("one");
    right.say("two");
    expect(await left.lines.next(/seen/)).toBe("seen on left");
    expect(await right.lines.next(/seen/)).toBe("seen on right");
    await listener.lines.next(/one|two/);
    await listener.lines.next(/one|two/);
    expect(listener.lines.all.toSorted()).toEqual(["left 10.60.1.2 one", "ready", "right 10.60.2.2 two"]);
  });

  it("says which of its wishes can't be had", async () => {
    const first = await start(SERVER, [...LISTENER, "left=10.60.1.1:69"]);
    expect(first.lines.all).toEqual(["ready"]);
    expect((await start(SERVER, [...LISTENER, "left=10.60.1.1:69"])).lines.all).toEqual(["error IN_USE"]);
    expect((await start(SERVER, [...LISTENER, "nowhere=0.0.0.0:67"])).lines.all).toEqual(["error UNAVAILABLE"]);
    expect((await start(SERVER, [...LISTENER, "left=10.9.9.9:67"])).lines.all).toEqual(["error UNAVAILABLE"]);
    namespaces.run(SERVER, ["sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=1024"]);
    expect((await start(SERVER, [...LISTENER, "left=0.0.0.0:67"])).lines.all).toEqual(["error FORBIDDEN"]);
  });
});
