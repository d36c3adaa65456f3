import { describe, expect, it } from "vitest";
import type { BootEvent } from "../../../src/boot/boot-event.ts";
import { startDhcpServer } from "../../../src/dhcp/server.ts";
import { createLog } from "../../../src/log.ts";
import { formatMac } from "../../../src/values/mac.ts";
import { encodeDhcp } from "../../../src/wire/dhcp/encode.ts";
import type { DhcpMessage } from "../../../src/wire/dhcp/message.ts";
import { ip } from "../leases/world.ts";
import { SocketStandIn } from "./socket.ts";
import { dhcpWorld, request } from "./world.ts";

const OURS = ip("10.0.0.1");
const A = ip("10.0.0.10");

/** Of the event loop: what was delivered before is begun after it. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

function serve() {
  const world = dhcpWorld();
  const socket = new SocketStandIn();
  const lines: Record<string, unknown>[] = [];
  const log = createLog("debug", { write: (line) => void lines.push(JSON.parse(line)) });
  const events: BootEvent[] = [];
  const server = startDhcpServer({
    network: world.network,
    socket: socket.asSocket(),
    answer: world.ask,
    events: (event) => events.push(event),
    isNode: (mac) => !world.strangers.has(mac),
    log,
    clock: world.clock,
  });
  /** Delivers messages and waits until none is in the making. */
  const say = async (...messages: (DhcpMessage | Buffer)[]) => {
    for (const message of messages) socket.deliver(Buffer.isBuffer(message) ? message : encodeDhcp(message));
    await expect.poll(() => server.counters.waiting).toBe(0);
  };
  return { ...world, socket, lines, events, server, say };
}

describe("the DHCP server's packet loop", () => {
  it("answers to where the client listens, reports the stage, and logs one line with MAC and xid", async () => {
    const { say, socket, events, lines, clock } = serve();
    await say(request("discover"), request("request", { ciaddr: A, requested: A, serverId: OURS }));
    expect(socket.sent.map(({ to }) => to)).toEqual(["255.255.255.255:68", "10.0.0.10:68"]);
    expect(events).toMatchObject([
      { stage: "dhcp-os", address: A, at: clock.now() },
      { stage: "dhcp-os", address: A },
    ]);
    expect(lines).toMatchObject([
      { msg: "dhcp: offered", mac: "52:54:00:00:00:01", xid: "feedbeef", network: "rack", address: A },
      { msg: "dhcp: bound" },
    ]);
  });

  it("goes on after garbage, after a disk that refuses and after a send that fails", async () => {
    const { say, socket, records, server } = serve();
    await say(
      Buffer.alloc(0),
      Buffer.alloc(1),
      Buffer.alloc(300, 255),
      encodeDhcp(request("discover")).subarray(0, 242),
    );
    expect(server.counters).toMatchObject({ received: 4, ignored: 4, failed: 0 });
    records.held = true;
    const refused = say(request("request", { requested: A, serverId: OURS }));
    await turn();
    records.refuse();
    await refused;
    records.held = false;
    socket.failure = new Error("network is down");
    await say(request("discover"));
    socket.failure = null;
    expect(server.counters).toMatchObject({ failed: 2, replied: 0 });
    await say(request("discover"));
    expect(server.counters).toMatchObject({ received: 7, replied: 1 });
  });

  it("keeps room for nodes while the disk stands still and strangers flood it", async () => {
    const { network, clock } = dhcpWorld();
    const socket = new SocketStandIn();
    const asked = new Set<string>();
    const server = startDhcpServer({
      network,
      socket: socket.asSocket(),
      answer: ({ chaddr }) => {
        asked.add(formatMac(chaddr));
        return new Promise(() => {});
      },
      events: () => {},
      isNode: (mac) => mac.startsWith("0a:"),
      log: createLog("silent"),
      clock,
    });
    const datagram = encodeDhcp(request("discover"));
    const deliver = (prefix: number, number: number) => {
      const bytes = Buffer.from(datagram);
      bytes.writeUInt8(prefix, 28);
      bytes.writeUInt32BE(number, 29);
      socket.deliver(bytes);
    };
    for (let number = 0; server.counters.dropped === 0; ) {
      for (const until = number + 31; number < until; number++) deliver(0x02, number);
      await turn();
    }
    const before = server.counters.dropped;
    deliver(0x0a, 1);
    await turn();
    expect([...asked].at(-1)).toMatch(/^0a:/);
    expect(server.counters.dropped).toBe(before);
  });

  it("shows a watchdog an answer that the disk keeps waiting", async () => {
    const { socket, records, server } = serve();
    records.held = true;
    socket.deliver(encodeDhcp(request("request", { requested: A, serverId: OURS })));
    expect(server.counters).toMatchObject({ received: 1, replied: 0, waiting: 1 });
    await turn();
    expect(server.counters).toMatchObject({ received: 1, replied: 0, waiting: 1 });
    records.settle();
    await expect.poll(() => server.counters).toMatchObject({ replied: 1, waiting: 0 });
  });

  it("sends what is in the making before it stops, and takes nothing more", async () => {
    const { socket, records, server } = serve();
    records.held = true;
    socket.deliver(encodeDhcp(request("request", { requested: A, serverId: OURS })));
    const stopped = server.stop();
    socket.deliver(encodeDhcp(request("discover", { machine: 2 })));
    expect(socket.closed).toBe(false);
    records.settle();
    await stopped;
    await server.stop();
    expect([socket.closed, socket.sent.length]).toEqual([true, 1]);
  });
});
