import koffi from "koffi";
import type { ByteRange } from "../image-store.ts";
import type { InspectedImage, RbdAccess } from "./rbd-pool.ts";

/**
 * librados and librbd 16 as far as the store needs them. Whatever waits for the cluster runs on libuv's threads. An
 * image is opened, used and closed within one call: a handle used after that ends the process, which is why this runs
 * in one of its own.
 */
const rados = koffi.load("librados.so.2");
const librbd = koffi.load("librbd.so.1");

const create = rados.func(
  "int rados_create2(_Out_ void **cluster, const char *name, const char *user, uint64_t flags)",
);
const readConfiguration = rados.func("int rados_conf_read_file(void *cluster, const char *path)");
const configure = rados.func("int rados_conf_set(void *cluster, const char *option, const char *value)");
const connect = rados.func("int rados_connect(void *cluster)");
const shutDown = rados.func("void rados_shutdown(void *cluster)");
const instanceId = rados.func("uint64_t rados_get_instance_id(void *cluster)");
const monCommand = rados.func(
  "int rados_mon_command(void *cluster, const char **command, size_t words, const char *input, size_t inputBytes, _Out_ void **output, _Out_ size_t *outputBytes, _Out_ void **status, _Out_ size_t *statusBytes)",
);
const freeBuffer = rados.func("void rados_buffer_free(void *buffer)");
const createContext = rados.func("int rados_ioctx_create(void *cluster, const char *pool, _Out_ void **context)");
const destroyContext = rados.func("void rados_ioctx_destroy(void *context)");

const lockExclusive = rados.func(
  "int rados_lock_exclusive(void *context, const char *object, const char *name, const char *cookie, const char *description, const uint8_t *duration, uint8_t flags)",
);
const breakObjectLock = rados.func(
  "int rados_break_lock(void *context, const char *object, const char *name, const char *client, const char *cookie)",
);
const listObjectLockers = rados.func(
  "int64_t rados_list_lockers(void *context, const char *object, const char *name, _Out_ int *exclusive, _Out_ uint8_t *tag, _Inout_ size_t *tagBytes, _Out_ uint8_t *clients, _Inout_ size_t *clientsBytes, _Out_ uint8_t *cookies, _Inout_ size_t *cookiesBytes, _Out_ uint8_t *addresses, _Inout_ size_t *addressesBytes)",
);
const readObject = rados.func(
  "int rados_read(void *context, const char *object, _Out_ uint8_t *bytes, size_t length, uint64_t offset)",
);
const writeObject = rados.func(
  "int rados_write_full(void *context, const char *object, const uint8_t *bytes, size_t length)",
);

const list = librbd.func("int rbd_list(void *context, _Out_ uint8_t *names, _Inout_ size_t *bytes)");
const open = librbd.func("int rbd_open(void *context, const char *name, _Out_ void **image, const char *snapshot)");
const openReadOnly = librbd.func(
  "int rbd_open_read_only(void *context, const char *name, _Out_ void **image, const char *snapshot)",
);
const close = librbd.func("int rbd_close(void *image)");
const getId = librbd.func("int rbd_get_id(void *image, _Out_ uint8_t *id, size_t bytes)");
const getSize = librbd.func("int rbd_get_size(void *image, _Out_ uint64_t *bytes)");
const read = librbd.func("int64_t rbd_read(void *image, uint64_t offset, size_t bytes, _Out_ uint8_t *buffer)");
const createOptions = librbd.func("void rbd_image_options_create(_Out_ void **options)");
const destroyOptions = librbd.func("void rbd_image_options_destroy(void *options)");
const setOption = librbd.func("int rbd_image_options_set_uint64(void *options, int option, uint64_t value)");
const clone = librbd.func(
  "int rbd_clone3(void *parentContext, const char *parent, const char *snapshot, void *context, const char *child, void *options)",
);
const createImage = librbd.func("int rbd_create4(void *context, const char *name, uint64_t bytes, void *options)");
const resize = librbd.func("int rbd_resize(void *image, uint64_t bytes)");
const createSnapshot = librbd.func("int rbd_snap_create(void *image, const char *snapshot)");
const removeSnapshot = librbd.func("int rbd_snap_remove(void *image, const char *snapshot)");
const rename = librbd.func("int rbd_rename(void *context, const char *from, const char *to)");
const remove = librbd.func("int rbd_remove(void *context, const char *name)");
const moveToTrash = librbd.func("int rbd_trash_move(void *context, const char *name, uint64_t delaySeconds)");
const listTrash = librbd.func("int rbd_trash_list(void *context, _Out_ uint8_t *entries, _Inout_ size_t *count)");
const freeTrash = librbd.func("void rbd_trash_list_cleanup(uint8_t *entries, size_t count)");
const removeTrash = librbd.func("int rbd_trash_remove(void *context, const char *id, bool force)");
const listSnapshots = librbd.func("int rbd_snap_list(void *image, _Out_ uint8_t *entries, _Inout_ int *count)");
const freeSnapshots = librbd.func("void rbd_snap_list_end(uint8_t *entries)");
const setMetadata = librbd.func("int rbd_metadata_set(void *image, const char *key, const char *value)");
const removeMetadata = librbd.func("int rbd_metadata_remove(void *image, const char *key)");
const getMetadata = librbd.func(
  "int rbd_metadata_get(void *image, const char *key, _Out_ uint8_t *value, _Inout_ size_t *bytes)",
);
const listLockers = librbd.func(
  "int64_t rbd_list_lockers(void *image, _Out_ int *exclusive, _Out_ uint8_t *tag, _Inout_ size_t *tagBytes, _Out_ uint8_t *clients, _Inout_ size_t *clientsBytes, _Out_ uint8_t *cookies, _Inout_ size_t *cookiesBytes, _Out_ uint8_t *addresses, _Inout_ size_t *addressesBytes)",
);
const breakLock = librbd.func("int rbd_break_lock(void *image, const char *client, const char *cookie)");

/** <rbd/librbd.h>: RBD_IMAGE_OPTION_CLONE_FORMAT. */
const CLONE_FORMAT = 12;
/** <rbd/librbd.h>: rbd_trash_image_info_t on 64-bit machines: id, name, source, two times. */
const TRASH_ENTRY_BYTES = 40;
/** <rbd/librbd.h>: rbd_snap_info_t on 64-bit machines: id, size, name. */
const SNAPSHOT_ENTRY_BYTES = 24;
/** <rados/librados.h>: LIBRADOS_LOCK_FLAG_MAY_RENEW. */
const MAY_RENEW = 1;
/** What the lock of an object is called. */
const LOCK = "ingot";
const EBUSY = 16;
const ERANGE = 34;
const ENOENT = 2;
const EACCES = 13;
const EEXIST = 17;
const TEXT_BYTES = 4096;

/** An object of an image with default striping. */
const READ_BYTES = 4 * 1024 * 1024;

/** How long a cluster is waited for. */
const TIMEOUTS = { client_mount_timeout: 6, rados_mon_op_timeout: 8, rados_osd_op_timeout: 15 };

type Pointer = unknown;

/** What the configuration names and is not there: it has an errno of images that are gone, and must not pass for one. */
export class NotThere extends Error {
  readonly what: "conf" | "pool";
  constructor(what: "conf" | "pool") {
    super(`no such ${what}`);
    this.what = what;
  }
}

/** What a call ended with, where it did not succeed: an errno (positive). */
export class LibrbdFault extends Error {
  readonly errno: number;
  constructor(errno: number, call: string) {
    super(`${call}: errno ${errno}`);
    this.errno = errno;
  }
}

function isErrno(error: unknown, errno: number): boolean {
  return error instanceof LibrbdFault && error.errno === errno;
}

/** Calls a function on a thread of libuv's; what it answers, or a LibrbdFault where that is negative. */
// biome-ignore lint/suspicious/noExplicitAny: each function has a prototype of its own
function call(name: string, native: any, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    native.async(...args, (error: unknown, result: number | bigint | undefined) => {
      const value = Number(result ?? 0);
      if (error) reject(error);
      else if (value < 0) reject(new LibrbdFault(-value, name));
      else resolve(value);
    });
  });
}

function check(name: string, result: number): void {
  if (result < 0) throw new LibrbdFault(-result, name);
}

/** A connection to a cluster, and one pool of it. */
export class Librbd {
  readonly #cluster: Pointer;
  readonly #context: Pointer;
  readonly #pool: string;

  private constructor(cluster: Pointer, context: Pointer, pool: string) {
    this.#cluster = cluster;
    this.#context = context;
    this.#pool = pool;
  }

  /** Rejects with a LibrbdFault, or with NotThere; nothing is left open then. */
  static async connect({ conf, user, pool }: RbdAccess): Promise<Librbd> {
    const cluster: [Pointer] = [null];
    check("create", create(cluster, "ceph", `client.${user}`, 0));
    try {
      const read = readConfiguration(cluster[0], conf);
      if (read === -ENOENT) throw new NotThere("conf");
      check("read configuration", read);
      for (const [option, seconds] of Object.entries(TIMEOUTS)) {
        check(option, configure(cluster[0], option, String(seconds)));
      }
      check("admin_socket", configure(cluster[0], "admin_socket", ""));
      // without a keyring, cephx is off, or ENOENT
      await call("connect", connect, cluster[0]).catch((error) => {
        throw isErrno(error, ENOENT) ? new LibrbdFault(EACCES, "connect: no keyring") : error;
      });
      const context: [Pointer] = [null];
      await call("open pool", createContext, cluster[0], pool, context).catch((error) => {
        throw isErrno(error, ENOENT) ? new NotThere("pool") : error;
      });
      return new Librbd(cluster[0], context[0], pool);
    } catch (error) {
      shutDown(cluster[0]);
      throw error;
    }
  }

  /** Ends the connection; no call may be under way. */
  close(): void {
    destroyContext(this.#context);
    shutDown(this.#cluster);
  }

  async list(): Promise<string[]> {
    return texts(await grown((names, bytes) => call("list", list, this.#context, names, bytes)));
  }

  /** Null where there is no such image. */
  async size(image: string): Promise<number | null> {
    try {
      return await this.#withImage(image, openReadOnly, async (handle) => {
        const bytes: [number | bigint] = [0];
        await call("size", getSize, handle, bytes);
        return Number(bytes[0]);
      });
    } catch (error) {
      if (isErrno(error, ENOENT)) return null;
      throw error;
    }
  }

  /** What the image is called inside, whatever its name. */
  id(image: string): Promise<string> {
    return this.#withImage(image, openReadOnly, async (handle) => {
      const id = Buffer.alloc(TEXT_BYTES);
      await call("id", getId, handle, id, TEXT_BYTES);
      return texts(id)[0] ?? "";
    });
  }

  /** The bytes of ranges of the image, one after the other, in pieces; the next one is fetched meanwhile. */
  async *read(image: string, ranges: AsyncIterable<ByteRange>): AsyncGenerator<Buffer> {
    const handle: [Pointer] = [null];
    await call("open image", openReadOnly, this.#context, image, handle, null);
    const fetch = async (offset: number, length: number) => {
      const piece = Buffer.allocUnsafeSlow(length);
      return piece.subarray(0, await call("read", read, handle[0], offset, length, piece));
    };
    let current: Promise<Buffer> | undefined;
    let next: Promise<Buffer> | undefined;
    try {
      for await (const { first, last } of ranges) {
        for (let offset = first; offset <= last; offset += READ_BYTES) {
          next = fetch(offset, Math.min(READ_BYTES, last + 1 - offset));
          if (current) yield await current;
          current = next;
        }
      }
      if (current) yield await current;
    } finally {
      await Promise.allSettled([current, next]);
      await call("close image", close, handle[0]);
    }
  }

  async clone(parent: string, snapshot: string, child: string): Promise<void> {
    const options: [Pointer] = [null];
    createOptions(options);
    try {
      check("clone format", setOption(options[0], CLONE_FORMAT, 2));
      await call("clone", clone, this.#context, parent, snapshot, this.#context, child, options[0]);
    } finally {
      destroyOptions(options[0]);
    }
  }

  /** Opens the image once for all of it; answers the clone's bytes. */
  cloneNow(image: string, child: string): Promise<number> {
    return this.#withImage(image, open, async (handle) => {
      await call("snapshot", createSnapshot, handle, child).catch((error) => {
        if (!isErrno(error, EEXIST)) throw error;
      });
      try {
        await this.clone(image, child, child);
        const bytes: [number | bigint] = [0];
        await call("size", getSize, handle, bytes);
        return Number(bytes[0]);
      } finally {
        // the clone has it by now, and keeps it
        await call("remove snapshot", removeSnapshot, handle, child);
      }
    });
  }

  async create(image: string, sizeBytes: string): Promise<void> {
    const options: [Pointer] = [null];
    createOptions(options);
    try {
      await call("create", createImage, this.#context, image, BigInt(sizeBytes), options[0]);
    } finally {
      destroyOptions(options[0]);
    }
  }

  grow(image: string, sizeBytes: string): Promise<number> {
    return this.#withImage(image, open, (handle) => call("grow", resize, handle, BigInt(sizeBytes)));
  }

  createSnapshot(image: string, snapshot: string): Promise<number> {
    return this.#withImage(image, open, (handle) => call("snapshot", createSnapshot, handle, snapshot));
  }

  removeSnapshot(image: string, snapshot: string): Promise<number> {
    return this.#withImage(image, open, (handle) => call("remove snapshot", removeSnapshot, handle, snapshot));
  }

  rename(from: string, to: string): Promise<number> {
    return call("rename", rename, this.#context, from, to);
  }

  remove(image: string): Promise<number> {
    return call("remove", remove, this.#context, image);
  }

  moveToTrash(image: string): Promise<number> {
    return call("move to trash", moveToTrash, this.#context, image, 0);
  }

  async listTrash(): Promise<{ id: string; name: string }[]> {
    for (let room = 64; ; room *= 4) {
      const entries = Buffer.alloc(room * TRASH_ENTRY_BYTES);
      const count: [number | bigint] = [room];
      try {
        await call("list trash", listTrash, this.#context, entries, count);
      } catch (error) {
        if (isErrno(error, ERANGE)) continue;
        throw error;
      }
      const found = Number(count[0]);
      const text = (offset: number): string => koffi.decode(entries.readBigUInt64LE(offset), "char", -1);
      const read = Array.from({ length: found }, (_, index) => ({
        id: text(index * TRASH_ENTRY_BYTES),
        name: text(index * TRASH_ENTRY_BYTES + 8),
      }));
      freeTrash(entries, found);
      return read;
    }
  }

  removeTrash(id: string): Promise<number> {
    return call("remove from trash", removeTrash, this.#context, id, false);
  }

  setMetadata(image: string, key: string, value: string): Promise<number> {
    return this.#withImage(image, open, (handle) => call("set metadata", setMetadata, handle, key, value));
  }

  removeMetadata(image: string, key: string): Promise<number> {
    return this.#withImage(image, open, (handle) => call("remove metadata", removeMetadata, handle, key));
  }

  /** Null where there is none. */
  metadata(image: string, key: string): Promise<string | null> {
    return this.#withImage(image, openReadOnly, (handle) => readMetadata(handle, key));
  }

  /** Null where there is no such image. */
  async inspect(image: string, ...keys: string[]): Promise<InspectedImage | null> {
    try {
      return await this.#withImage(image, openReadOnly, async (handle) => {
        const bytes: [number | bigint] = [0];
        await call("size", getSize, handle, bytes);
        const snapshots = await readSnapshots(handle);
        const metadata: Record<string, string> = {};
        for (const key of keys) {
          const value = await readMetadata(handle, key);
          if (value !== null) metadata[key] = value;
        }
        const isHeld = (await this.#holders(handle)).length > 0;
        return { sizeBytes: Number(bytes[0]), snapshots, isHeld, metadata };
      });
    } catch (error) {
      if (isErrno(error, ENOENT)) return null;
      throw error;
    }
  }

  /** Breaks the locks that others hold; each of them is blocklisted. */
  breakLock(image: string): Promise<void> {
    return this.#withImage(image, openReadOnly, async (handle) => {
      for (const { client, cookie } of await this.#holders(handle)) {
        await call("break lock", breakLock, handle, client, cookie).catch((error) => {
          // given back since it was listed
          if (!isErrno(error, ENOENT)) throw error;
        });
      }
    });
  }

  /** Takes or prolongs the lock of an object; null where it is the holder's now, else who has it. */
  async lock(object: string, holder: string, seconds: string): Promise<string | null> {
    const duration = Buffer.alloc(16);
    duration.writeBigInt64LE(BigInt(seconds));
    const take = () => call("lock", lockExclusive, this.#context, object, LOCK, holder, "", duration, MAY_RENEW);
    try {
      await take();
    } catch (error) {
      if (!isErrno(error, EBUSY)) throw error;
      const other = await this.lockHolder(object);
      if (other !== null && other !== holder) return other;
      // its own, by a connection that is gone
      await this.unlock(object, holder);
      await take();
    }
    return null;
  }

  /** Another's lock stays. */
  async unlock(object: string, holder: string): Promise<void> {
    for (const { client, cookie } of await this.#lockers(object)) {
      if (cookie !== holder) continue;
      await call("unlock", breakObjectLock, this.#context, object, LOCK, client, cookie).catch((error) => {
        if (!isErrno(error, ENOENT)) throw error;
      });
    }
  }

  /** Null where nobody holds it. */
  async lockHolder(object: string): Promise<string | null> {
    return (await this.#lockers(object))[0]?.cookie ?? null;
  }

  /** Empty where there is no such object. */
  async readObject(object: string): Promise<string> {
    const bytes = Buffer.alloc(TEXT_BYTES);
    try {
      const length = await call("read", readObject, this.#context, object, bytes, TEXT_BYTES, 0);
      return bytes.toString("utf8", 0, length);
    } catch (error) {
      if (isErrno(error, ENOENT)) return "";
      throw error;
    }
  }

  writeObject(object: string, text: string): Promise<number> {
    const bytes = Buffer.from(text);
    return call("write", writeObject, this.#context, object, bytes, bytes.length);
  }

  async #lockers(object: string): Promise<{ client: string; cookie: string }[]> {
    const [clients, cookies, tag, addresses] = [0, 1, 2, 3].map(() => Buffer.alloc(TEXT_BYTES));
    const room = () => [TEXT_BYTES] as [number | bigint];
    const [clientBytes, cookieBytes] = [room(), room()];
    const both = [clients, clientBytes, cookies, cookieBytes];
    const outputs = [[0], tag, room(), ...both, addresses, room()];
    try {
      const found = await call("list locks", listObjectLockers, this.#context, object, LOCK, ...outputs);
      if (found === 0) return [];
      const names = texts(clients!.subarray(0, Number(clientBytes[0])));
      const values = texts(cookies!.subarray(0, Number(cookieBytes[0])));
      return names.map((client, index) => ({ client, cookie: values[index] ?? "" }));
    } catch (error) {
      if (isErrno(error, ENOENT)) return [];
      throw error;
    }
  }

  /** What `ceph df` says of the pool; null where it does not name it. */
  async usage(): Promise<{ storedBytes: number; freeBytes: number } | null> {
    const command = [JSON.stringify({ prefix: "df", format: "json" })];
    const [output, status]: [[Pointer], [Pointer]] = [[null], [null]];
    const [outputBytes, statusBytes]: [[number | bigint], [number | bigint]] = [[0], [0]];
    const both = [output, outputBytes, status, statusBytes];
    await call("df", monCommand, this.#cluster, command, 1, null, 0, ...both);
    try {
      const text = Buffer.from(koffi.decode(output[0], koffi.array("uint8_t", Number(outputBytes[0])))).toString();
      type Pools = { pools: { name: string; stats: { stored: number; max_avail: number } }[] };
      const stats = (JSON.parse(text) as Pools).pools.find(({ name }) => name === this.#pool)?.stats;
      return stats ? { storedBytes: stats.stored, freeBytes: stats.max_avail } : null;
    } finally {
      for (const [buffer] of [output, status]) if (buffer) freeBuffer(buffer);
    }
  }

  /** The other clients that hold an open image for writing: a verb of ours that is under way gives it back in a moment. */
  async #holders(handle: Pointer): Promise<{ client: string; cookie: string }[]> {
    const [clients, cookies, tag, addresses] = [0, 1, 2, 3].map(() => Buffer.alloc(TEXT_BYTES));
    const room = () => [TEXT_BYTES] as [number | bigint];
    const [clientBytes, cookieBytes] = [room(), room()];
    const both = [clients, clientBytes, cookies, cookieBytes];
    const found = await call("list locks", listLockers, handle, [0], tag, room(), ...both, addresses, room());
    if (found === 0) return [];
    const values = texts(cookies!.subarray(0, Number(cookieBytes[0])));
    const own = `client.${instanceId(this.#cluster)}`;
    return texts(clients!.subarray(0, Number(clientBytes[0])))
      .map((client, index) => ({ client, cookie: values[index] as string }))
      .filter(({ client }) => client !== own);
  }

  // biome-ignore lint/suspicious/noExplicitAny: each function has a prototype of its own
  async #withImage<T>(name: string, opening: any, use: (handle: Pointer) => Promise<T>): Promise<T> {
    const handle: [Pointer] = [null];
    await call("open image", opening, this.#context, name, handle, null);
    try {
      return await use(handle[0]);
    } finally {
      await call("close image", close, handle[0]);
    }
  }
}

/** Null where an open image has no such key. */
async function readMetadata(handle: Pointer, key: string): Promise<string | null> {
  try {
    const value = await grown((bytes, length) => call("get metadata", getMetadata, handle, key, bytes, length));
    return texts(value)[0] ?? "";
  } catch (error) {
    if (isErrno(error, ENOENT)) return null;
    throw error;
  }
}

/** Names of an open image's snapshots. */
async function readSnapshots(handle: Pointer): Promise<string[]> {
  for (let room = 16; ; room *= 4) {
    const entries = Buffer.alloc(room * SNAPSHOT_ENTRY_BYTES);
    try {
      const found = await call("list snapshots", listSnapshots, handle, entries, [room]);
      const names = Array.from({ length: found }, (_, index): string =>
        koffi.decode(entries.readBigUInt64LE(index * SNAPSHOT_ENTRY_BYTES + 16), "char", -1),
      );
      if (found > 0) freeSnapshots(entries);
      return names;
    } catch (error) {
      if (!isErrno(error, ERANGE)) throw error;
    }
  }
}

/** The bytes that a call writes into a buffer which may have to be larger. */
async function grown(fill: (bytes: Buffer, length: [number | bigint]) => Promise<unknown>): Promise<Buffer> {
  for (let room = 4 * TEXT_BYTES; ; ) {
    const bytes = Buffer.alloc(room);
    const length: [number | bigint] = [room];
    try {
      await fill(bytes, length);
      return bytes.subarray(0, Number(length[0]));
    } catch (error) {
      if (!isErrno(error, ERANGE)) throw error;
      room = Math.max(Number(length[0]), room * 2);
    }
  }
}

/** Texts that end with NUL, one after the other. */
function texts(bytes: Buffer): string[] {
  return bytes.toString().split("\0").filter(Boolean);
}
