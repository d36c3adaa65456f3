import type { DiskRecord } from "../disks/disk.ts";
import { byName } from "../values/name.ts";
import type { ImageRecord } from "./image.ts";

/** An image or a disk among its kin. Without a record, it is gone, and others came from it. */
export type Relative = { kind: "image" | "disk"; id: string; parent?: string; depth: number } & (
  | { kind: "image"; record?: ImageRecord }
  | { kind: "disk"; record?: DiskRecord }
);

/**
 * What came from what: images, their clones, snapshots of those, and so on; each right below its parent and one deeper,
 * brothers by name. What is gone stands as the root of what is left of it.
 */
export function lineage(images: readonly ImageRecord[], disks: readonly DiskRecord[]): Relative[] {
  const known = new Map<string, Relative>();
  for (const record of images) {
    known.set(record.id, { kind: "image", id: record.id, ...parentOf(record), depth: 0, record });
  }
  for (const record of disks) {
    known.set(record.id, {
      kind: "disk",
      id: record.id,
      depth: 0,
      record,
      ...(record.image === undefined ? {} : { parent: record.image }),
    });
  }
  const childrenOf = new Map<string | undefined, Relative[]>();
  const file = (one: Relative) => {
    const brothers = childrenOf.get(one.parent);
    if (brothers) brothers.push(one);
    else childrenOf.set(one.parent, [one]);
  };
  for (const one of known.values()) file(one);
  for (const parent of [...childrenOf.keys()]) {
    if (parent === undefined || known.has(parent)) continue;
    // only a snapshot's parent is a disk
    const [child] = childrenOf.get(parent) ?? [];
    const isDisk = child?.kind === "image" && child.record?.origin.kind === "snapshot";
    file({ kind: isDisk ? "disk" : "image", id: parent, depth: 0 });
  }

  const inOrder: Relative[] = [];
  const walk = (parent: string | undefined, depth: number) => {
    for (const one of (childrenOf.get(parent) ?? []).sort((a, b) => byName(nameOf(a), nameOf(b)))) {
      inOrder.push({ ...one, depth });
      walk(one.id, depth + 1);
    }
  };
  walk(undefined, 0);
  return inOrder;
}

function nameOf({ id, record }: Relative): { name: string } {
  return { name: record?.name ?? id };
}

function parentOf({ origin }: ImageRecord): { parent?: string } {
  if (origin.kind === "snapshot") return { parent: origin.disk };
  if (origin.kind === "increment") return { parent: origin.base };
  return origin.kind === "copy" ? { parent: origin.image } : {};
}
