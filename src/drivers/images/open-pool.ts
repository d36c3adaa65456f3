import { poolPlace } from "../../config/pool-place.ts";
import type { Config } from "../../config/schema.ts";
import type { BeforeOpening } from "../targets/tgt-daemon.ts";
import { createImageExchange } from "./exchange/create-exchange.ts";
import { createRbdExchange } from "./exchange/rbd-exchange.ts";
import { createFileCatalogue } from "./file-catalogue.ts";
import { createFileLeases } from "./file-leases.ts";
import { createFilePoolSpace } from "./file-pool-space.ts";
import { roomForImports } from "./file-room.ts";
import { openFileStore } from "./file-store.ts";
import type { ImageExchange } from "./image-exchange.ts";
import type { ImageStore } from "./image-store.ts";
import type { PoolCatalogue } from "./pool-catalogue.ts";
import type { PoolLeases } from "./pool-leases.ts";
import type { PoolSpace } from "./pool-space.ts";
import { createLibrbdPool } from "./rbd/librbd-pool.ts";
import { createRbdCatalogue } from "./rbd/rbd-catalogue.ts";
import { createRbdCommand } from "./rbd/rbd-command.ts";
import { checkPoolFree } from "./rbd/rbd-import.ts";
import { createRbdLeases } from "./rbd/rbd-leases.ts";
import { createRbdPoolSpace } from "./rbd/rbd-pool-space.ts";
import { openRbdStore } from "./rbd/rbd-store.ts";
import { shutOutFormer } from "./rbd/shut-out-former.ts";

/** A pool in use. */
export type OpenPool = {
  images: ImageStore;
  space: PoolSpace;
  catalogue: PoolCatalogue;
  leases: PoolLeases;
  exchange: ImageExchange;
  /** What people call it. */
  place: string;
  /** For the target server. */
  beforeOpening: BeforeOpening;
};

/** The pool that the configuration names; rejects as `openFileStore` where it can't be used at all. */
export async function openPool(config: Config["pool"]): Promise<OpenPool> {
  const place = poolPlace(config);
  const { exportDirectories, maxImageBytes } = config;
  const importDirectories = [...config.importDirectories, config.incoming.directory];
  if (config.store === "file") {
    const space = createFilePoolSpace(config.directory);
    const { directory } = config;
    const [catalogue, leases] = [createFileCatalogue(directory), createFileLeases(directory)];
    const images = await openFileStore({ ...config, importDirectories });
    const limits = { maxImageBytes, checkFree: roomForImports(config) };
    const exchange = createImageExchange({ images, exportDirectories, importDirectories, ...limits });
    return { images, space, catalogue, leases, exchange, place, beforeOpening: async () => {} };
  }
  const { spoolDirectory, via, ...access } = config.rbd;
  const pool = via === "librbd" ? createLibrbdPool(access) : createRbdCommand(access);
  const images = openRbdStore({ pool, access, importDirectories, maxImageBytes, spoolDirectory });
  const limits = {
    maxImageBytes,
    checkFree: (bytes: number, signal: AbortSignal) => checkPoolFree(pool, bytes, signal),
  };
  return {
    images,
    exchange: createImageExchange(
      { images, exportDirectories, importDirectories, access, ...limits },
      createRbdExchange(access),
    ),
    space: createRbdPoolSpace(pool, place),
    catalogue: createRbdCatalogue(pool),
    leases: createRbdLeases(pool),
    place,
    beforeOpening: shutOutFormer(pool, access),
  };
}
