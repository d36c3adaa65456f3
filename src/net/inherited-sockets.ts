import koffi from "koffi";
import { ApplianceError } from "../errors.ts";

const libc = koffi.load("libc.so.6");
const fcntl = libc.func("int fcntl(int fd, int command, ...)");
const getsockopt = libc.func(
  "int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)",
);

// Linux, the same on x86-64 and arm64: <fcntl.h>, <sys/socket.h>.
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_BINDTODEVICE = 25;
const SO_DOMAIN = 39;
const AF_NETLINK = 16;
const INTERFACE_NAME_BYTES = 16;

/** sd_listen_fds(3): SD_LISTEN_FDS_START. */
const FIRST_FD = 3;
const KINDS: Record<number, SocketKind> = { 1: "stream", 2: "datagram" };

/** `netlink`: one to the kernel (netlink(7)), of the network namespace that it was opened in. */
export type SocketKind = "stream" | "datagram" | "netlink";

/** A socket that systemd opened for us: `interface` is what it is bound to (BindToDevice=), if anything. */
export type InheritedSocket = { fd: number; kind: SocketKind; interface?: string };

/**
 * The sockets that systemd passed to this process, by their FileDescriptorName= (sd_listen_fds(3)); empty when there
 * are none. Takes the variables out of `environment` and marks the descriptors close-on-exec, so that no child
 * inherits either: call it once. INVALID when the variables or the descriptors are not as the protocol says.
 */
export function takeInheritedSockets(environment: NodeJS.ProcessEnv): Map<string, InheritedSocket[]> {
  const { LISTEN_PID: pid, LISTEN_FDS: count, LISTEN_FDNAMES: nameList } = environment;
  for (const key of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete environment[key];
  const sockets = new Map<string, InheritedSocket[]>();
  // A variable that was meant for our parent says nothing about our descriptors.
  if (Number(pid) !== process.pid || count === undefined) return sockets;
  if (!/^\d{1,5}$/.test(count)) throw broken(`LISTEN_FDS is "${count}", not a number`);
  const names = nameList === undefined ? [] : nameList.split(":");
  if (nameList !== undefined && names.length !== Number(count))
    throw broken(`LISTEN_FDS is ${count}, but LISTEN_FDNAMES has ${names.length} names`);
  for (let index = 0; index < Number(count); index++) {
    const name = names[index] ?? "unknown";
    sockets.set(name, [...(sockets.get(name) ?? []), inspect(FIRST_FD + index, name)]);
  }
  return sockets;
}

/**
 * The descriptor of the one inherited socket of that name, or undefined when there is none and the caller must open
 * its own. For `dgram.bind({ fd })` or `server.listen({ fd })`, which own it from then on.
 * INVALID when it is of another kind, or not bound to `onInterface`: it would answer on every network.
 */
export function findInherited(
  sockets: Map<string, InheritedSocket[]>,
  name: string,
  kind: SocketKind,
  onInterface?: string,
): number | undefined {
  const [socket, second] = sockets.get(name) ?? [];
  if (!socket) return undefined;
  if (second) throw broken(`there are several sockets named ${name}`);
  if (socket.kind !== kind) throw broken(`socket ${name} is a ${socket.kind} socket, not a ${kind} one`);
  if (onInterface !== undefined && socket.interface !== onInterface)
    throw broken(`socket ${name} is bound to ${socket.interface ?? "no interface"}, not to ${onInterface}`);
  return socket.fd;
}

function inspect(fd: number, name: string): InheritedSocket {
  const isNetlink = readOption(fd, SO_DOMAIN, 4)?.readInt32LE() === AF_NETLINK;
  const kind = isNetlink ? "netlink" : KINDS[readOption(fd, SO_TYPE, 4)?.readInt32LE() ?? 0];
  if (!kind) throw broken(`descriptor ${fd} (${name}) is not a stream, datagram or netlink socket`);
  fcntl(fd, F_SETFD, "int", FD_CLOEXEC);
  const bound = readOption(fd, SO_BINDTODEVICE, INTERFACE_NAME_BYTES)?.toString("latin1").replace(/\0.*$/s, "");
  return { fd, kind, ...(bound ? { interface: bound } : {}) };
}

function readOption(fd: number, option: number, size: number): Buffer | undefined {
  const value = Buffer.alloc(size);
  const length = [size];
  return getsockopt(fd, SOL_SOCKET, option, value, length) === 0 ? value.subarray(0, length[0]) : undefined;
}

function broken(what: string): ApplianceError {
  return new ApplianceError("INVALID", `inherited sockets: ${what}`, {
    details: { remedy: "compare the .socket units with those that come with the appliance" },
  });
}
