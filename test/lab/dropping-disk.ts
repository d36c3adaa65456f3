import { mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { killProcess, startProcess } from "./lab-state.ts";
import { runProgram } from "./program.ts";

const READY_MS = 10_000;

/** A disk whose cache does not outlive its power. */
export type DroppingDisk = {
  /** Stands for the disk while it has power: a file of its size, to be mounted by loop. */
  path: string;
  /** With what had reached it when its power went. */
  powerOn(): Promise<void>;
  /**
   * Whatever was written and not flushed is lost, at once. What is mounted on the disk meets errors from now on, and
   * has to be unmounted before the power comes back.
   */
  powerOff(): Promise<void>;
};

/**
 * Makes a disk in `<stateDirectory>/<name>` and switches it on. nbdkit keeps what is written apart until it is
 * flushed, nbdfuse makes a file of it; both are recorded in the state directory, and killed when the power goes.
 */
export async function createDroppingDisk(
  stateDirectory: string,
  name: string,
  sizeBytes: number,
): Promise<DroppingDisk> {
  const directory = join(stateDirectory, name);
  const [platters, socket, path] = [join(directory, "platters"), join(directory, "socket"), join(directory, "disk")];
  await mkdir(directory, { recursive: true });
  const file = await open(platters, "wx", 0o600);
  await file.truncate(sizeBytes);
  await file.close();
  await writeFile(path, "");

  const start = async (part: string, argv: string[], isReady: () => Promise<boolean>) => {
    await startProcess(stateDirectory, argv, { name: `${name}.${part}`, stdio: ["ignore", "ignore", "ignore"] });
    await until(`${name}.${part}`, isReady);
  };
  const disk: DroppingDisk = {
    path,
    async powerOn() {
      await rm(socket, { force: true });
      const cache = ["--filter=cache", "file", `file=${platters}`, "cache=writeback", "cache-min-block-size=4K"];
      await start("cache", ["nbdkit", "--foreground", "--unix", socket, ...cache], () => exists(socket));
      const hasSize = async () => (await stat(path)).size === sizeBytes;
      await start("plug", ["nbdfuse", path, `nbd+unix:///?socket=${socket}`], hasSize);
    },
    async powerOff() {
      for (const part of ["cache", "plug"]) await killProcess(stateDirectory, `${name}.${part}`);
      await until(`${name} without power`, () =>
        runProgram("umount", ["--lazy", path]).then(
          () => true,
          () => false,
        ),
      );
    },
  };
  await disk.powerOn();
  return disk;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function until(what: string, ask: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + READY_MS;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${READY_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
