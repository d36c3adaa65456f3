import { optionTable } from "./option.ts";
import { ipv4 } from "./shapes/addresses.ts";
import { bytes } from "./shapes/bytes.ts";
import { u8, u16 } from "./shapes/numbers.ts";
import { bootItem, bootMenu, bootMenuPrompt, bootServers } from "./shapes/pxe.ts";

/** Bits of discoveryControl. */
export const DISCOVERY = {
  /** Don't broadcast. */
  noBroadcast: 1,
  /** Don't multicast. */
  noMulticast: 2,
  /** Only servers in bootServers may answer. */
  listedServersOnly: 4,
  /** Skip menu and discovery: take the boot file of this offer. */
  bootFileInOffer: 8,
} as const;

/** Sub-options of option 43 between PXE clients and servers (PXE 2.1, table 2-1). */
export const PXE_OPTION = optionTable({
  mtftpAddress: [1, ipv4],
  mtftpClientPort: [2, u16],
  mtftpServerPort: [3, u16],
  mtftpTimeoutSeconds: [4, u8],
  mtftpDelaySeconds: [5, u8],
  discoveryControl: [6, u8],
  discoveryMulticast: [7, ipv4],
  bootServers: [8, bootServers],
  bootMenu: [9, bootMenu],
  bootMenuPrompt: [10, bootMenuPrompt],
  multicastAddressAllocation: [11, bytes],
  credentialTypes: [12, bytes],
  bootItem: [71, bootItem],
});
