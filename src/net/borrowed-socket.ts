import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import koffi from "koffi";
import { ApplianceError } from "../errors.ts";
import { duplicateDescriptor } from "./duplicate-descriptor.ts";

/**
 * A bound UDP socket that is used for a while and must stay open after that, such as one of systemd's. Closing the result
 * leaves `fd` as it was; what came in meanwhile is read first. It may send to broadcast addresses.
 */
export async function borrowDatagramSocket(fd: number): Promise<Socket> {
  const second = duplicateDescriptor(fd);
  if (second === undefined)
    throw new ApplianceError("INTERNAL", `descriptor ${fd} can't be duplicated: errno ${koffi.errno()}`);
  const borrowed = createSocket("udp4");
  const listening = once(borrowed, "listening");
  borrowed.bind({ fd: second });
  await listening;
  borrowed.setBroadcast(true);
  return borrowed;
}
