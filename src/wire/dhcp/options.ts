import { IPXE_OPTION } from "./ipxe-options.ts";
import { type Option, optionTable } from "./option.ts";
import { PXE_OPTION } from "./pxe-options.ts";
import { RELAY_OPTION } from "./relay-options.ts";
import { ipv4, ipv4List } from "./shapes/addresses.ts";
import { bytes } from "./shapes/bytes.ts";
import { domains } from "./shapes/domains.ts";
import { messageType } from "./shapes/message-type.ts";
import { i32, presence, u8, u8List, u16, u16List, u32 } from "./shapes/numbers.ts";
import { machineId, networkInterfaceId } from "./shapes/pxe.ts";
import { routes } from "./shapes/routes.ts";
import { suboptions } from "./shapes/suboptions.ts";
import { text } from "./shapes/text.ts";
import { userClasses } from "./shapes/user-class.ts";

/** The options that we know, by name (RFC 2132 unless another source is named). Values are read and written by option.ts. */
export const OPTION = optionTable({
  subnetMask: [1, ipv4],
  timeOffsetSeconds: [2, i32],
  router: [3, ipv4List],
  timeServer: [4, ipv4List],
  dnsServer: [6, ipv4List],
  logServer: [7, ipv4List],
  hostName: [12, text],
  bootFileBlocks: [13, u16],
  domainName: [15, text],
  swapServer: [16, ipv4],
  /** An NFS path, or RFC 4173's `iscsi:` URI. */
  rootPath: [17, text],
  extensionsPath: [18, text],
  defaultTtl: [23, u8],
  mtu: [26, u16],
  broadcastAddress: [28, ipv4],
  staticRoutes: [33, ipv4List],
  nisDomain: [40, text],
  nisServer: [41, ipv4List],
  ntpServer: [42, ipv4List],
  /** Its meaning depends on option 60; for PXE it is a map of PXE_OPTION, else read it as bytes. */
  vendorSpecific: [43, suboptions(PXE_OPTION, true)],
  netbiosNameServer: [44, ipv4List],
  netbiosNodeType: [46, u8],
  netbiosScope: [47, text],
  requestedAddress: [50, ipv4],
  /** 0xffffffff: for ever. */
  leaseSeconds: [51, u32],
  messageType: [53, messageType],
  serverId: [54, ipv4],
  parameterRequestList: [55, u8List],
  message: [56, text],
  /** Of the whole IP datagram. */
  maxMessageBytes: [57, u16],
  renewalSeconds: [58, u32],
  rebindingSeconds: [59, u32],
  vendorClass: [60, text],
  clientId: [61, bytes],
  tftpServerName: [66, text],
  bootFileName: [67, text],
  /** RFC 3004. */
  userClass: [77, userClasses],
  /** RFC 4039. */
  rapidCommit: [80, presence],
  /** RFC 4702. */
  clientFqdn: [81, bytes],
  /** RFC 3046. A map of RELAY_OPTION; servers echo it unread. */
  relayAgent: [82, suboptions(RELAY_OPTION, false)],
  /** RFC 3118. */
  authentication: [90, bytes],
  /** RFC 4578 2.1, numbers by IANA. */
  clientArchitecture: [93, u16List],
  /** RFC 4578 2.2. */
  networkInterfaceId: [94, networkInterfaceId],
  /** RFC 4578 2.3. */
  machineId: [97, machineId],
  /** RFC 4833. */
  posixTimeZone: [100, text],
  tzdbTimeZone: [101, text],
  /** RFC 8925: seconds without IPv4 that a client may take. */
  ipv6OnlySeconds: [108, u32],
  /** RFC 8910. */
  captivePortal: [114, text],
  /** RFC 2563. */
  autoConfigure: [116, u8],
  /** RFC 3011. */
  subnetSelection: [118, ipv4],
  /** RFC 3397. */
  domainSearch: [119, domains],
  /** RFC 3442. */
  classlessRoutes: [121, routes],
  /** RFC 3925. */
  vendorIdentifyingClass: [124, bytes],
  vendorIdentifyingSpecific: [125, bytes],
  /** RFC 5859. */
  tftpServerAddress: [150, ipv4List],
  /** iPXE's (and Etherboot's) own: a map of IPXE_OPTION. */
  ipxe: [175, suboptions(IPXE_OPTION, true)],
  /** iPXE: the initiator's IQN. */
  iscsiInitiator: [203, text],
  /** RFC 5071. */
  pxelinuxMagic: [208, bytes],
  pxelinuxConfigFile: [209, text],
  pxelinuxPathPrefix: [210, text],
  pxelinuxRebootSeconds: [211, u32],
  /** Microsoft's twin of classlessRoutes. */
  microsoftClasslessRoutes: [249, routes],
  webProxyAutoDiscovery: [252, text],
});

/** The same options by code. */
export const OPTION_BY_CODE: ReadonlyMap<number, Option<unknown>> = new Map(
  Object.values(OPTION).map((option) => [option.code, option as Option<unknown>]),
);
