import { tryReadOption } from "./option.ts";
import { OPTION } from "./options.ts";
import { DEFAULT_MAX_BYTES, IP_UDP_BYTES } from "./protocol.ts";
import type { Options } from "./tlv.ts";

/** What an Ethernet frame carries without fragments; few boot ROMs can join these. */
const FRAME_MAX_BYTES = 1500 - IP_UDP_BYTES;

/**
 * The largest UDP payload that the sender of these options takes in reply: its option 57, held to what every
 * client must take and what fits one frame (EDK2's REQUEST says 65280).
 */
export function maxReplyBytes(options: Options): number {
  const announced = tryReadOption(options, OPTION.maxMessageBytes) ?? 0;
  return Math.min(Math.max(announced - IP_UDP_BYTES, DEFAULT_MAX_BYTES), FRAME_MAX_BYTES);
}
