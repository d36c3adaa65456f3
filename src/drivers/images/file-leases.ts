import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../clock.ts";
import { systemClock } from "../../clock.ts";
import { syncPath } from "../../net/sync-path.ts";
import { driverFailed } from "../failure.ts";
import { Turns } from "../turns.ts";
import { leaseHeld } from "./lease-held.ts";
import type { PoolLeases } from "./pool-leases.ts";

type Lease = { holder: string; token: number; until: number };

/** Leases of a pool directory: `leases/<name>.json`. One process works on the directory, so its turns are all turns. */
export function createFileLeases(directory: string, clock: Pick<Clock, "now"> = systemClock): PoolLeases {
  const folder = join(directory, "leases");
  const turns = new Turns();

  const read = async (name: string): Promise<Lease | undefined> => {
    try {
      return JSON.parse(await readFile(join(folder, `${name}.json`), "utf8")) as Lease;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw driverFailed("file", "read lease", (error as Error).message, { cause: error });
    }
  };
  const write = async (name: string, lease: Lease): Promise<void> => {
    const path = join(folder, `${name}.json`);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFile(`${path}.new`, JSON.stringify(lease), { mode: 0o600, flush: true });
      await rename(`${path}.new`, path);
      await syncPath(folder);
    } catch (error) {
      throw driverFailed("file", "take lease", (error as Error).message, { cause: error });
    }
  };

  return {
    take: (name, holder, seconds, signal) =>
      turns.take(
        name,
        async () => {
          const [lease, now] = [await read(name), clock.now()];
          const isOwn = lease?.holder === holder;
          if (lease && !isOwn && lease.until > now) throw leaseHeld(name, lease.holder);
          const token = isOwn ? lease.token : (lease?.token ?? 0) + 1;
          await write(name, { holder, token, until: now + seconds * 1000 });
          return token;
        },
        signal,
      ),
    giveBack: (name, holder, signal) =>
      turns.take(
        name,
        async () => {
          const lease = await read(name);
          if (lease?.holder === holder) await write(name, { ...lease, until: 0 });
        },
        signal,
      ),
    async holder(name) {
      const lease = await read(name);
      return lease && lease.until > clock.now() ? lease.holder : undefined;
    },
  };
}
