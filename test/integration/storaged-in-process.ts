import { once } from "node:events";
import type { ImageExchange } from "../../src/drivers/images/image-exchange.ts";
import type { ImageStore } from "../../src/drivers/images/image-store.ts";
import type { PoolCatalogue } from "../../src/drivers/images/pool-catalogue.ts";
import type { PoolLeases } from "../../src/drivers/images/pool-leases.ts";
import type { PoolSpace } from "../../src/drivers/images/pool-space.ts";
import type { TargetServer } from "../../src/drivers/targets/target-server.ts";
import { createLog } from "../../src/log.ts";
import { createStorageClient, type StorageClient } from "../../src/storaged/client.ts";
import { createDiskCheck } from "../../src/storaged/disk-check.ts";
import { createStorageServer } from "../../src/storaged/server.ts";
import { storageVerbs } from "../../src/storaged/verbs.ts";
import { MemoryImageExchange } from "../fakes/memory-image-exchange.ts";
import { MemoryPoolCatalogue } from "../fakes/memory-pool-catalogue.ts";
import { MemoryPoolLeases } from "../fakes/memory-pool-leases.ts";
import { MemoryPoolSpace } from "../fakes/memory-pool-space.ts";

/** The drivers as ingotd has them: through storaged's protocol, over a socket at `path`, in this process. */
export async function throughStoraged(
  path: string,
  images: ImageStore,
  targets: TargetServer,
  controls: number[] = [],
  space: PoolSpace = new MemoryPoolSpace(),
  catalogue: PoolCatalogue = new MemoryPoolCatalogue(images),
  leases: PoolLeases = new MemoryPoolLeases(),
  exchange: ImageExchange = new MemoryImageExchange(images),
): Promise<StorageClient> {
  const verbs = storageVerbs(
    { images, space, catalogue, leases, exchange, targets },
    createDiskCheck(images, targets, controls),
  );
  const server = createStorageServer(verbs, createLog("silent")).listen(path);
  await once(server, "listening");
  const client = createStorageClient(path);
  return {
    ...client,
    close: () => {
      client.close();
      server.close();
    },
  };
}
