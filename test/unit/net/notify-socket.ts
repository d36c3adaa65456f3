import koffi from "koffi";

const libc = koffi.load("libc.so.6");
const socket = libc.func("int socket(int domain, int type, int protocol)");
const bind = libc.func("int bind(int fd, const void *address, uint32_t length)");
const setsockopt = libc.func("int setsockopt(int fd, int level, int name, const void *value, uint32_t length)");
const recvmsg = libc.func("intptr_t recvmsg(int fd, void *message, int flags)");
const close = libc.func("int close(int fd)");

/** The supervisor's end of NOTIFY_SOCKET, which Node can't make: a Unix datagram socket that learns the senders' pids. */
export class NotifySocket {
  readonly #fd: number;

  /** `name` is a path, or @ and an abstract name. */
  constructor(name: string) {
    this.#fd = socket(1, 2 | 0o2000000, 0);
    const address = Buffer.concat([Buffer.from([1, 0]), Buffer.from(name.replace(/^@/, "\0"))]);
    if (bind(this.#fd, address, address.length) !== 0) throw new Error(`bind ${name}: errno ${koffi.errno()}`);
    const on = Buffer.from([1, 0, 0, 0]);
    if (setsockopt(this.#fd, 1, 16, on, 4) !== 0) throw new Error("SO_PASSCRED");
  }

  /** The next message that waits, if any, and who sent it. */
  receive(): { text: string; pid: number } | undefined {
    const text = Buffer.alloc(4096);
    const control = Buffer.alloc(64);
    const vector = Buffer.alloc(16);
    vector.writeBigUInt64LE(koffi.address(text) as bigint, 0);
    vector.writeBigUInt64LE(BigInt(text.length), 8);
    const message = Buffer.alloc(56); // struct msghdr, 64 bit
    message.writeBigUInt64LE(koffi.address(vector) as bigint, 16);
    message.writeBigUInt64LE(1n, 24);
    message.writeBigUInt64LE(koffi.address(control) as bigint, 32);
    message.writeBigUInt64LE(BigInt(control.length), 40);
    const size = Number(recvmsg(this.#fd, message, 0x40 /* MSG_DONTWAIT */));
    // struct cmsghdr of SCM_CREDENTIALS: length, level and type in 16 bytes, then pid, uid, gid
    return size < 0 ? undefined : { text: text.toString("utf8", 0, size), pid: control.readInt32LE(16) };
  }

  /** Every message that waits. */
  drain(): string[] {
    const all: string[] = [];
    for (let one = this.receive(); one; one = this.receive()) all.push(one.text);
    return all;
  }

  close(): void {
    close(this.#fd);
  }
}
