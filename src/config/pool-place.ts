import type { Config } from "./schema.ts";

/** What a pool is called towards people: its directory, or its name in the cluster. */
export function poolPlace({ store, directory, rbd }: Config["pool"]): string {
  return store === "file" ? directory : `Ceph pool ${rbd.pool}`;
}
