import { execFile } from "node:child_process";
import { chmod, chown, mkdir, rm } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { ApplianceError } from "../errors.ts";

/**
 * Listens on a unix socket that root and the members of `group` may use. A socket file on which nobody answers is
 * replaced.
 * LOCKED when another process does answer, INVALID when there is no such group.
 */
export async function listenOnPath(server: Server, path: string, group?: string): Promise<void> {
  const gid = group === undefined ? undefined : await groupId(group);
  await mkdir(dirname(path), { recursive: true });
  if (await answers(path)) {
    throw new ApplianceError("LOCKED", `${path}: another process serves it`, {
      details: { value: path, remedy: "stop it first" },
    });
  }
  await rm(path, { force: true });
  // Nobody may connect before the owner is right.
  const mask = process.umask(0o177);
  try {
    await listen(server, { path });
  } finally {
    process.umask(mask);
  }
  if (gid !== undefined) await chown(path, 0, gid);
  await chmod(path, 0o660);
}

/** Listens on a path or on an inherited descriptor; rejects when that fails. */
export function listen(server: Server, where: { path: string } | { fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

async function groupId(name: string): Promise<number> {
  try {
    const { stdout } = await promisify(execFile)("getent", ["group", name]);
    return Number(stdout.split(":")[2]);
  } catch (cause) {
    throw new ApplianceError("INVALID", `group: there is no group ${name}`, {
      details: { field: "group", value: name, remedy: "make it, or name another" },
      cause,
    });
  }
}
