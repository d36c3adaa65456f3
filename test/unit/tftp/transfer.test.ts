import dgram from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { DatagramRuns } from "../../../src/net/datagram-runs.ts";
import { BlockRing } from "../../../src/tftp/block-ring.ts";
import { Transfer } from "../../../src/tftp/transfer.ts";
import { openTransferSocket } from "../../../src/tftp/transfer-socket.ts";
import type { Ipv4 } from "../../../src/values/ipv4.ts";

const HERE = "127.0.0.1" as Ipv4;
const open: dgram.Socket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
});

/** A transfer of two blocks to a client that never answers. */
async function sending() {
  const client = dgram.createSocket("udp4").bind(0, HERE);
  await once(client, "listening");
  const { socket, fd } = await openTransferSocket(HERE, { address: HERE, port: client.address().port });
  open.push(socket);
  const ring = new BlockRing(async () => 513, 513, 512, 1);
  const runs = new DatagramRuns(socket, fd, ring.packetBytes);
  const terms = { windowBlocks: 1, timeoutSeconds: undefined, accepted: new Map() };
  const transfer = new Transfer({ ...terms, socket, runs, ring, clock: systemClock, onAnswered: () => {} });
  return { client, socket, transfer };
}

describe("a transfer whose socket fails", () => {
  it("tells that the client's port is closed", async () => {
    const { client, transfer } = await sending();
    client.close();
    expect(await transfer.run()).toEqual({
      outcome: "aborted",
      reason: expect.stringMatching(/port is closed: .*ECONNREFUSED/),
    });
  });

  it("names any other error, and blames no client for it", async () => {
    const { client, socket, transfer } = await sending();
    open.push(client);
    const end = transfer.run();
    // as after ICMP's word that a router on the way has a smaller MTU
    socket.emit("error", Object.assign(new Error("recvmsg EMSGSIZE"), { code: "EMSGSIZE" }));
    expect(await end).toEqual({ outcome: "failed", reason: expect.stringMatching(/^the way .*EMSGSIZE/) });
  });
});
