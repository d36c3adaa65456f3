import { ApplianceError } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import type { Collection } from "../store/records.ts";
import type { Appliance } from "./appliance.ts";

/** The collection of what projects may have. */
export const QUOTAS = "quotas";
const FIELDS = ["nodes", "disks", "images", "networks", "bytes"] as const;

/** How much of something: `nodes` that are provisioned at a time; `bytes` as nodes see it, disks and images together. */
export type Amounts = { nodes: number; disks: number; images: number; networks: number; bytes: number };
/** What a project may have at most; what is left out has no limit. Collection "quotas", keyed by project. */
export type QuotaRecord = Partial<Amounts>;

type Parts = Pick<Appliance, "disks" | "images" | "networks" | "records">;

/** What a project has, with what is being made and what is deleted but not purged; and what it may have. */
export function quotaOf(
  { disks, images, networks, records }: Parts,
  project: string,
): { used: Amounts; limits: QuotaRecord } {
  const ownDisks = disks.all(project);
  const ownImages = images.list(project);
  const bytes = [...ownDisks, ...ownImages].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const limits = (records.collection(QUOTAS) as Collection<QuotaRecord>).get(project) ?? {};
  // a node that is being provisioned has its disk on record already
  const nodes = new Set(ownDisks.flatMap(({ node, dataLun }) => (node === undefined || dataLun ? [] : [node]))).size;
  const counts = { disks: ownDisks.length, images: ownImages.length, networks: networks.list(project).length };
  return { used: { nodes, ...counts, bytes }, limits };
}

/**
 * QUOTA when so much more would be more than the project may have. Nothing may be waited for between this and the
 * beginning of the operation, whose first journal line has the records that count.
 */
export function checkQuota(parts: Parts, project: string, more: Partial<Amounts>): void {
  const { used, limits } = quotaOf(parts, project);
  for (const field of FIELDS) {
    const limit = limits[field];
    const wanted = more[field] ?? 0;
    if (limit === undefined || wanted === 0 || used[field] + wanted <= limit) continue;
    throw new ApplianceError(
      "QUOTA",
      `project ${project} may have ${limit} ${field}; it has ${used[field]}, and wants ${wanted} more`,
      {
        details: {
          field,
          value: wanted,
          used: used[field],
          limit,
          remedy: `${field === "nodes" ? "release a node of it" : "remove some of it (deleted disks count until they are purged)"}, or have the limit raised: ingot quota set ${project} --${field} N`,
        },
      },
    );
  }
}

/**
 * Notes how much an image that is being made holds, where that is known at its end only. It counts at once: others may end
 * at the same moment. QUOTA.
 */
export async function countImage(parts: Parts, image: ImageRecord, sizeBytes: number): Promise<ImageRecord> {
  checkQuota(parts, image.project, { bytes: sizeBytes - image.sizeBytes });
  const counted: ImageRecord = { ...image, sizeBytes };
  await parts.records.commit([{ collection: "images", key: image.id, value: counted }]);
  return counted;
}

/** Sets what a project may have; null takes a limit away, what is left out stays. What it has already stays too. NOT_FOUND, INVALID. */
export async function setQuota(
  appliance: Appliance,
  project: string,
  changes: { [field in keyof Amounts]?: number | null },
): Promise<void> {
  const { name } = appliance.projects.get(project);
  const limits = Object.entries({ ...quotaOf(appliance, name).limits, ...changes }).filter(
    ([, limit]) => limit != null,
  );
  await appliance.records.commit([{ collection: QUOTAS, key: name, value: Object.fromEntries(limits) }]);
}
