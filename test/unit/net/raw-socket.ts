import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const socket = libc.func("int socket(int domain, int type, int protocol)");
const setsockopt = libc.func("int setsockopt(int fd, int level, int name, const void *value, uint32_t length)");
const bind = libc.func("int bind(int fd, const void *address, uint32_t length)");
const listen = libc.func("int listen(int fd, int backlog)");
const getsockname = libc.func("int getsockname(int fd, _Out_ uint8_t *address, _Inout_ uint32_t *length)");
const close = libc.func("int close(int fd)");

/** A bare descriptor, as systemd would open it, on a free port of 127.0.0.1; bound to `onInterface` if one is given. */
export function openRawSocket(kind: "stream" | "datagram", onInterface?: string) {
  const check = (result: number, action: string): number => {
    if (result < 0) throw new Error(`${action}: errno ${koffi.errno()}`);
    return result;
  };
  const fd = check(socket(2, (kind === "stream" ? 1 : 2) | 0o2000000, 0), "socket");
  if (onInterface) check(setsockopt(fd, 1, 25, Buffer.from(onInterface), onInterface.length), "SO_BINDTODEVICE");
  const address = Buffer.from([2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  check(bind(fd, address, address.length), "bind");
  if (kind === "stream") check(listen(fd, 8), "listen");
  check(getsockname(fd, address, [address.length]), "getsockname");
  return { fd, port: address.readUInt16BE(2), close: () => void close(fd) };
}
