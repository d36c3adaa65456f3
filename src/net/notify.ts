import { getSystemErrorMap } from "node:util";
import koffi from "koffi";
import { ApplianceError } from "../errors.ts";

const libc = koffi.load("libc.so.6");
const socket = libc.func("int socket(int domain, int type, int protocol)");
const sendto = libc.func(
  "intptr_t sendto(int fd, const void *text, size_t size, int flags, const void *address, uint32_t addressSize)",
);
const close = libc.func("int close(int fd)");

// Linux, the same on x86-64 and arm64: <sys/socket.h>, <sys/un.h>.
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const PATH_BYTES = 108;

/** What a supervisor is told (sd_notify(3)). Every call fails with UNAVAILABLE when the supervisor does not listen. */
export interface Notifier {
  /** Start-up is over: units that wait for this one may start. */
  ready(): void;
  /** One line for `systemctl status`. */
  status(text: string): void;
  /** Shutdown began. */
  stopping(): void;
  /** Alive: see watchdog.ts for when to say so. */
  alive(): void;
}

/**
 * Speaks to the socket in NOTIFY_SOCKET, from this very process: systemd checks the sender's pid. Without that variable
 * every call does nothing. Takes the variable out of `environment`, so that no child speaks for us.
 * INVALID when it names no Unix socket.
 */
export function createNotifier(environment: NodeJS.ProcessEnv): Notifier {
  const name = environment.NOTIFY_SOCKET;
  delete environment.NOTIFY_SOCKET;
  const send = name ? sender(name) : () => {};
  return {
    ready: () => send("READY=1"),
    // A line break would begin another assignment.
    status: (text) => send(`STATUS=${text.replace(/[\r\n]+/g, " ")}`),
    stopping: () => send("STOPPING=1"),
    alive: () => send("WATCHDOG=1"),
  };
}

function sender(name: string): (state: string) => void {
  const address = socketAddress(name);
  return (state) => {
    const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) throw unheard(name);
    try {
      const text = Buffer.from(state);
      // Never wait: a supervisor that is slow must not hold up the event loop.
      const sent = sendto(fd, text, text.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length);
      if (Number(sent) !== text.length) throw unheard(name);
    } finally {
      close(fd);
    }
  };
}

/** struct sockaddr_un; a leading @ stands for the NUL byte of an abstract name (unix(7)). */
function socketAddress(name: string): Buffer {
  const path = Buffer.from(name);
  if ((path[0] !== 0x2f && path[0] !== 0x40) || path.length < 2 || path.length >= PATH_BYTES)
    throw new ApplianceError("INVALID", `NOTIFY_SOCKET "${name}" is neither a path nor an abstract name`);
  if (path[0] === 0x40) path[0] = 0;
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, path]);
}

function unheard(name: string): ApplianceError {
  const errno = koffi.errno();
  const reason = getSystemErrorMap().get(-errno)?.[1] ?? `errno ${errno}`;
  return new ApplianceError("UNAVAILABLE", `notify socket ${name}: ${reason}`);
}
