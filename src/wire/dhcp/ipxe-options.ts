import { optionTable } from "./option.ts";
import { bytes, secret } from "./shapes/bytes.ts";
import { flag, i8, u8, u32 } from "./shapes/numbers.ts";
import { text } from "./shapes/text.ts";

/**
 * What iPXE puts in, and takes from, option 175. A feature's number is its own version, not a flag;
 * any but 0 says that this build has it.
 */
export const IPXE_OPTION = optionTable({
  priority: [1, i8],
  keepSan: [8, flag],
  skipSanBoot: [9, flag],
  pxeExtensions: [16, u8],
  iscsi: [17, u8],
  aoe: [18, u8],
  http: [19, u8],
  https: [20, u8],
  tftp: [21, u8],
  ftp: [22, u8],
  dns: [23, u8],
  bzImage: [24, u8],
  multiboot: [25, u8],
  slam: [26, u8],
  srp: [27, u8],
  nbi: [32, u8],
  pxe: [33, u8],
  elf: [34, u8],
  comboot: [35, u8],
  efi: [36, u8],
  fcoe: [37, u8],
  vlan: [38, u8],
  menu: [39, u8],
  sdi: [40, u8],
  nfs: [41, u8],
  noPxeDhcp: [176, flag],
  busId: [177, bytes],
  biosDrive: [189, u8],
  username: [190, text],
  password: [191, secret],
  reverseUsername: [192, text],
  reversePassword: [193, secret],
  uid: [194, u32],
  gid: [195, u32],
  version: [235, bytes],
});
