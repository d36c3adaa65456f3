import type { Socket } from "node:dgram";
import { decodeDhcp } from "../../../src/wire/dhcp/decode.ts";
import { dhcpPackets } from "../../fixtures/dhcp-packets.ts";
import type { Burst } from "./main.ts";
import { isUnderstood, mutate } from "./mutate.ts";
import type { FuzzTask } from "./report.ts";

const CHADDR = 28;

/** Mutants of every captured packet, half of them each from a machine of its own. */
export async function dhcpBurst(task: FuzzTask, random: (limit: number) => number, socket: Socket): Promise<Burst> {
  const seeds = dhcpPackets().map(({ bytes }) => bytes);
  const send = (bytes: Buffer) => new Promise<void>((resolve) => socket.send(bytes, 67, task.server, () => resolve()));
  return async (count) => {
    let pastCodec = 0;
    for (let sent = 0; sent < count; sent++) {
      const bytes = mutate(seeds, random);
      if (bytes.length > CHADDR + 6 && random(2) === 0) {
        for (let at = 2; at < 6; at++) bytes[CHADDR + at] = random(256);
      }
      if (isUnderstood(decodeDhcp, bytes)) pastCodec += 1;
      await send(bytes);
    }
    return { sent: count, pastCodec };
  };
}
