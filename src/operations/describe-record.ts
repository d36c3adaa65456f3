import type { DiskRecord } from "../disks/disk.ts";
import type { Description } from "../drivers/images/pool-catalogue.ts";
import type { ImageRecord } from "../images/image.ts";
import type { Appliance } from "./appliance.ts";

/** One image or disk of the records. */
export type Recorded = { kind: "image"; record: ImageRecord } | { kind: "disk"; record: DiskRecord };

/** All images and disks that the pool has, or is about to: an image's content is whole before it is described. */
export function* recorded({ images, disks }: Pick<Appliance, "images" | "disks">): Generator<Recorded> {
  for (const record of images.all()) if (record.ready) yield { kind: "image", record };
  for (const record of disks.all()) yield { kind: "disk", record };
}

/** What the pool is told of one of them. */
export function describeRecord(appliance: Pick<Appliance, "id" | "nodes" | "clock">, one: Recorded): Description {
  const { kind, record } = one;
  const facts = {
    schema: 1,
    kind,
    id: record.id,
    appliance: appliance.id,
    describedAt: appliance.clock.now(),
  } as const;
  if (kind === "image") return { ...facts, record };
  const { node, dataLun: _, ...own } = record;
  const name = node === undefined ? undefined : appliance.nodes.find(node)?.name;
  return { ...facts, ...(name === undefined ? {} : { node: name }), record: own };
}

/** Two descriptions with the same text say the same, whenever they were written. */
export function textOf({ describedAt: _, node, record }: Description): string {
  return JSON.stringify([node ?? null, record], inOrder);
}

/** Objects with their keys in order: who wrote them may have had another. */
function inOrder(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
