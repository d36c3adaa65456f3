import { optionTable } from "./option.ts";
import { ipv4 } from "./shapes/addresses.ts";
import { bytes } from "./shapes/bytes.ts";
import { u8, u16 } from "./shapes/numbers.ts";
import { text } from "./shapes/text.ts";

/** Sub-options of option 82, which relays add and servers echo (RFC 3046 and the ones named). */
export const RELAY_OPTION = optionTable({
  circuitId: [1, bytes],
  remoteId: [2, bytes],
  /** RFC 3527: the subnet to allocate from, when giaddr isn't in it. */
  linkSelection: [5, ipv4],
  /** RFC 3993. */
  subscriberId: [6, text],
  /** RFC 4243. */
  vendorSpecific: [9, bytes],
  /** RFC 5010: bit 7 says that the client unicast its message. */
  flags: [10, u8],
  /** RFC 5107: what a client shall see as server identifier. */
  serverIdOverride: [11, ipv4],
  /** RFC 6925. */
  relayId: [12, bytes],
  /** RFC 8357. */
  sourcePort: [19, u16],
  /** RFC 6607. */
  virtualSubnet: [151, bytes],
  virtualSubnetControl: [152, bytes],
});
