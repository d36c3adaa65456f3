import type { Socket } from "node:net";
import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const getsockopt = libc.func(
  "int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)",
);

// Linux, the same on x86-64 and arm64: <sys/socket.h>.
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid and gid, each of 32 bits. */
const UCRED_BYTES = 12;

/**
 * The process and user at the other end of a unix socket (unix(7), SO_PEERCRED): who connected, or who called listen(2) on
 * it; undefined when the kernel does not tell.
 */
export function peerCredentials(socket: Socket): { pid: number; uid: number } | undefined {
  // Node has no public way from a socket to its descriptor
  const { fd } = (socket as unknown as { _handle?: { fd?: number } })._handle ?? {};
  if (fd === undefined || fd < 0) return undefined;
  const credentials = Buffer.alloc(UCRED_BYTES);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, [UCRED_BYTES]) !== 0) return undefined;
  const [pid, uid] = [credentials.readInt32LE(0), credentials.readInt32LE(4)];
  // -1: not a unix socket
  return uid < 0 ? undefined : { pid, uid };
}
