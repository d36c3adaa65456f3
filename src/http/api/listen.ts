import { lstat, unlink } from "node:fs/promises";
import type { Server } from "node:http";
import { connect } from "node:net";
import { ApplianceError } from "../../errors.ts";

/** sockaddr_un holds 108 bytes, the last of them NUL (unix(7)). */
const PATH_BYTES = 107;
/** Leaves owner and group read and write, 0660: who may connect to a unix socket must be able to write it. */
const MASK = 0o117;

/**
 * Listens on a unix socket that its owner and group may use. What a dead process left there is replaced.
 * LOCKED when somebody answers there; INVALID for a path that is too long, or is no socket.
 */
export async function listenOnPath(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > PATH_BYTES) {
    throw new ApplianceError("INVALID", `runtimeDirectory: ${path} is longer than ${PATH_BYTES} bytes`, {
      details: { field: "runtimeDirectory", value: path, remedy: "name a shorter directory" },
    });
  }
  await removeStale(path);
  // listen() binds before it returns: no moment is left in which others could connect
  const mask = process.umask(MASK);
  try {
    const listening = once(server, path);
    server.listen(path);
    process.umask(mask);
    await listening;
  } finally {
    process.umask(mask);
  }
}

/** Listens on TCP; port 0 takes any. UNAVAILABLE when the port is taken or the address is not ours. */
export async function listenOnPort(
  server: Server,
  address: string,
  port: number,
): Promise<{ address: string; port: number }> {
  const listening = once(server, `${address}:${port}`);
  server.listen({ host: address, port });
  await listening;
  return server.address() as { address: string; port: number };
}

function once(server: Server, where: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        new ApplianceError("UNAVAILABLE", `admin API: can't listen on ${where} (${error.code})`, {
          details: { remedy: "see who has it (ss -lnp), and whether the directory or address is there" },
          retryable: false,
          cause: error,
        }),
      );
    });
  });
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket()) {
    throw new ApplianceError("INVALID", `runtimeDirectory: ${path} is no socket`, {
      details: { field: "runtimeDirectory", value: path, remedy: "move it away, or name another directory" },
    });
  }
  if (await answers(path)) {
    throw new ApplianceError("LOCKED", `another process listens on ${path}`, {
      details: { value: path, remedy: "stop the other ingotd, or give this one its own runtimeDirectory" },
    });
  }
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // refused: its process is dead; anything else (a full backlog, say) is taken for life
    socket.once("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT");
    });
  });
}
