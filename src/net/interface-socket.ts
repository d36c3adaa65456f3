import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import koffi from "koffi";
import { ApplianceError, type ErrorCode } from "../errors.ts";
import { type Ipv4, ipv4Bytes } from "../values/ipv4.ts";

// Linux, the same on x86-64 and arm64: <sys/socket.h>.
const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_BINDTODEVICE = 25;

/** A boot storm arrives faster than one turn of the event loop; the kernel grants what net.core.rmem_max allows. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

const libc = koffi.load("libc.so.6");
const socket = libc.func("int socket(int domain, int type, int protocol)");
const setsockopt = libc.func("int setsockopt(int fd, int level, int name, const void *value, uint32_t length)");
const bind = libc.func("int bind(int fd, const void *address, uint32_t length)");
const listen = libc.func("int listen(int fd, int backlog)");
const close = libc.func("int close(int fd)");

/** Connections that wait to be accepted, as Node's own servers have it. */
const BACKLOG = 511;

/** Where a datagram socket is bound. */
export type InterfaceSocketOptions = {
  /** Linux interface: packets of any other are never seen, and none leave by any other. */
  interface: string;
  /** Local address; `0.0.0.0` to hear broadcasts. */
  address: Ipv4;
  port: number;
  /** Whether it may send to broadcast addresses. */
  broadcast?: boolean;
};

/**
 * A UDP socket that belongs to one interface, which node:dgram alone can't make: a plain 0.0.0.0 socket would also
 * answer on the tenants' networks. Needs no privilege (Linux 5.7) beyond that for the port.
 * SO_REUSEADDR stays off: a foreign server on the same port and interface would silently take half of the packets.
 * Rejects with IN_USE (port taken), FORBIDDEN (port needs a privilege), UNAVAILABLE (no such interface or address yet).
 */
export async function openInterfaceSocket(options: InterfaceSocketOptions): Promise<Socket> {
  const fd = openSocket("UDP", options);
  try {
    return await adoptDatagramSocket(fd, options);
  } catch (error) {
    close(fd);
    throw error;
  }
}

/**
 * The descriptor of a TCP socket that listens on one interface, for `server.listen({ fd })`, which owns it from then on.
 * Without the interface, Linux would take connections to this address on every other one too. Throws as above.
 */
export function openInterfaceListener(options: InterfaceSocketOptions): number {
  return openSocket("TCP", options);
}

/**
 * The descriptor of a UDP socket bound to an address, on whichever interface its packets come, for
 * `dgram.bind({ fd })`, which owns it from then on. Port 0 takes any free one. Throws as above.
 */
export function openDatagramDescriptor(address: Ipv4, port: number): number {
  return openSocket("UDP", { address, port });
}

type SocketOptions = Omit<InterfaceSocketOptions, "interface"> & { interface?: string };

function openSocket(protocol: "UDP" | "TCP", options: SocketOptions): number {
  const isTcp = protocol === "TCP";
  const checked = (result: number, action: string) => check(result, protocol, action, options);
  const fd = checked(socket(AF_INET, (isTcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0), "socket");
  try {
    if (options.interface !== undefined) {
      const name = Buffer.from(`${options.interface}\0`);
      checked(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length), "setsockopt");
    }
    // For TCP it only overlooks connections that a former process left behind.
    if (isTcp) checked(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, Buffer.from(Int32Array.of(1).buffer), 4), "setsockopt");
    const address = socketAddress(options.address, options.port);
    checked(bind(fd, address, address.length), "bind");
    if (isTcp) checked(listen(fd, BACKLOG), "listen");
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Wraps a bound UDP socket that somebody else opened, such as systemd. The result owns the descriptor. */
export async function adoptDatagramSocket(fd: number, options: { broadcast?: boolean } = {}): Promise<Socket> {
  const adopted = createSocket("udp4");
  const listening = once(adopted, "listening"); // asked for first: with a descriptor it comes at once
  adopted.bind({ fd });
  await listening;
  adopted.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  if (options.broadcast) adopted.setBroadcast(true);
  return adopted;
}

/** struct sockaddr_in: family in host order, port and address in network order. */
function socketAddress(address: Ipv4, port: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  ipv4Bytes(address).copy(bytes, 4);
  return bytes;
}

const CODES: Record<number, [code: ErrorCode, remedy: string]> = {
  [constants.errno.EADDRINUSE]: ["IN_USE", "stop the other server on this port, or take this interface away from it"],
  [constants.errno.EACCES]: ["FORBIDDEN", "start through the systemd unit, whose sockets bring the right to the port"],
  [constants.errno.EPERM]: ["FORBIDDEN", "binding to an interface without privileges needs Linux 5.7"],
  [constants.errno.ENODEV]: ["UNAVAILABLE", "check `interface` of this network in the configuration"],
  [constants.errno.EADDRNOTAVAIL]: ["UNAVAILABLE", "give the interface the address that the configuration names"],
};

function check(result: number, protocol: string, action: string, options: SocketOptions): number {
  if (result >= 0) return result;
  const errno = koffi.errno();
  const [code, remedy] = CODES[errno] ?? ["INTERNAL" as const, "report this"];
  const reason = getSystemErrorMap().get(-errno)?.[1] ?? `errno ${errno}`;
  const { interface: name, address, port } = options;
  const place = name === undefined ? "" : ` on ${name}`;
  throw new ApplianceError(code, `${protocol} ${address}:${port}${place}: ${action}: ${reason}`, {
    details: { interface: name, address, port, action, remedy },
  });
}
