import { FIRMWARE_QUIRKS } from "./firmware-quirks.ts";

/** UDP port that servers and relays listen on (RFC 2131 4.1). */
export const SERVER_PORT = 67;
/** UDP port that clients listen on. */
export const CLIENT_PORT = 68;
/** UDP port that PXE boot servers listen on (PXE 2.1, 2.2.4). */
export const PXE_PORT = 4011;

/** Bytes of the fixed header, before the magic cookie (RFC 2131 2). */
export const HEADER_BYTES = 236;
export const CHADDR_OFFSET = 28;
export const SNAME_OFFSET = 44;
export const SNAME_BYTES = 64;
export const FILE_OFFSET = 108;
export const FILE_BYTES = 128;

/** What tells an options field from a vendor's own bytes (RFC 2131 3). */
export const MAGIC_COOKIE = 0x63825363;

/** BOOTP relays and clients drop shorter messages (RFC 1542 2.1). */
export const MIN_MESSAGE_BYTES: number = FIRMWARE_QUIRKS.shortReplies.minimumBytes;

/** IP and UDP headers, which option 57 counts in (RFC 2132 9.10). */
export const IP_UDP_BYTES = 28;

/** The UDP payload that every client takes without asking: 576 bytes of IP datagram (RFC 2131 2). */
export const DEFAULT_MAX_BYTES = 576 - IP_UDP_BYTES;

/** Codes without a length (RFC 2132 3.1, 3.2). */
export const PAD = 0;
export const END = 255;
