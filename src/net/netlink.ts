import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import koffi from "koffi";
import { ApplianceError } from "../errors.ts";

// Linux, the same on x86-64 and arm64: <sys/socket.h>, <linux/netlink.h>.
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const NLM_F_REQUEST = 0x1;
const NLM_F_MULTI = 0x2;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER_BYTES = 16;
/** How the kernel says that the thing asked for does not exist. Of a table, that it can't tell: no empty one is that. */
const NOT_THERE: readonly number[] = [constants.errno.ENOENT, constants.errno.ENODEV];
const OPEN_FAMILY = "let ingotd's unit open AF_NETLINK sockets (RestrictAddressFamilies=)";
const REMEDIES: Record<number, string> = {
  [constants.errno.EACCES]: OPEN_FAMILY,
  [constants.errno.EPERM]: OPEN_FAMILY,
  [constants.errno.EAFNOSUPPORT]: OPEN_FAMILY,
  [constants.errno.EINTR]: "wait: the table was changing while it was told, and is asked for again",
  [constants.errno.ENOENT]:
    "let the kernel load its module for such questions: modprobe tcp_diag for TCP's connections",
};
/** The kernel fills at most this much at a time. */
const BUFFER_BYTES = 64 * 1024;

const libc = koffi.load("libc.so.6");
const socket = libc.func("int socket(int domain, int type, int protocol)");
const send = libc.func("intptr_t send(int fd, const void *data, size_t size, int flags)");
const recv = libc.func("intptr_t recv(int fd, _Out_ void *data, size_t size, int flags)");
const close = libc.func("int close(int fd)");

/**
 * Asks the kernel for a whole table (netlink(7)) and answers the body of each message: that of this network namespace, or
 * through `fd` that of another one, where somebody else opened that socket. Needs no privilege and never waits: the kernel
 * answers a dump while it is read. UNAVAILABLE when it refuses.
 */
export function netlinkDump(protocol: number, type: number, body: Buffer, fd?: number): Buffer[] {
  return fd === undefined
    ? ask(protocol, type, NLM_F_DUMP, body, [])
    : exchange(fd, netlinkRequest(type, NLM_F_DUMP, body), []);
}

/** Asks for a single thing, and answers the body of the message about it; undefined when there is none. Else as above. */
export function netlinkGet(protocol: number, type: number, body: Buffer): Buffer | undefined {
  return ask(protocol, type, 0, body, NOT_THERE)[0];
}

/** `fine`: errors that mean that the answer is over. */
function ask(protocol: number, type: number, flags: number, body: Buffer, fine: readonly number[]): Buffer[] {
  const fd = checked(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "socket");
  try {
    return exchange(fd, netlinkRequest(type, flags, body), fine);
  } finally {
    close(fd);
  }
}

function exchange(fd: number, request: Buffer, fine: readonly number[]): Buffer[] {
  // of an answer that broke off, on a socket that stays open, the rest may still be there
  drain(fd);
  checked(Number(send(fd, request, request.length, 0)), "send");
  const bodies: Buffer[] = [];
  for (let isOver = false; !isOver; ) {
    const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
    const length = checked(Number(recv(fd, buffer, buffer.length, MSG_DONTWAIT)), "recv");
    isOver = collectNetlink(buffer.subarray(0, length), bodies, fine);
  }
  return bodies;
}

function drain(fd: number): void {
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  while (Number(recv(fd, buffer, buffer.length, MSG_DONTWAIT)) > 0);
}

/** An attribute as requests carry it, padded for a next one behind it. */
export function netlinkAttribute(type: number, value: Uint8Array): Buffer {
  const bytes = Buffer.alloc(aligned(4 + value.length));
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, 4);
  return bytes;
}

/** The attributes of a message or of another attribute: type, then value. */
export function netlinkAttributes(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) break;
    // the two highest bits are flags: NLA_F_NESTED, NLA_F_NET_BYTEORDER
    found.set(bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + 4, at + length));
    at += aligned(length);
  }
  return found;
}

function netlinkRequest(type: number, flags: number, body: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  return Buffer.concat([header, body]);
}

/**
 * Adds the bodies of the messages in `bytes`; true when the last of the answer was among them, or one of the errors that
 * are `fine`. UNAVAILABLE when the kernel refuses, breaks off, or tells that the table has changed under its hands.
 */
export function collectNetlink(bytes: Buffer, bodies: Buffer[], fine: readonly number[]): boolean {
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < HEADER_BYTES) return true;
    const type = bytes.readUInt16LE(at + 4);
    const flags = bytes.readUInt16LE(at + 6);
    const body = bytes.subarray(at + HEADER_BYTES, at + length);
    if ((flags & NLM_F_DUMP_INTR) !== 0) throw refused(constants.errno.EINTR, "request");
    if (type === NLMSG_ERROR || type === NLMSG_DONE) {
      const errno = body.length >= 4 ? -body.readInt32LE(0) : 0;
      if ((type === NLMSG_DONE && errno <= 0) || fine.includes(errno)) return true;
      throw refused(errno, "request");
    }
    bodies.push(body);
    if ((flags & NLM_F_MULTI) === 0) return true;
    at += aligned(length);
  }
  return false;
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

function checked(result: number, action: string): number {
  if (result < 0) throw refused(koffi.errno(), action);
  return result;
}

function refused(errno: number, action: string): ApplianceError {
  const reason = getSystemErrorMap().get(-errno)?.[1] ?? `errno ${errno}`;
  const remedy = REMEDIES[errno] ?? "report this";
  return new ApplianceError("UNAVAILABLE", `netlink ${action}: ${reason}`, { details: { action, remedy } });
}
