import type { ImageRecord } from "../images/image.ts";
import { changedLabels } from "../images/labels.ts";
import { parseDescription } from "../values/line.ts";
import { parseName } from "../values/name.ts";
import type { Appliance } from "./appliance.ts";
import { checkQuota } from "./quota.ts";

/** What may be changed of an image; what is left out stays. */
export type ImageEdit = {
  name?: string;
  /** Empty: none. */
  description?: string;
  /** By key; null takes one away. */
  labels?: Record<string, string | null>;
  retired?: boolean;
};

/** Changes what people see of an image. NOT_FOUND; EXISTS for a name in use; INVALID; BUSY while an operation makes or removes it. */
export async function editImage(
  appliance: Appliance,
  { project, image: name, ...edit }: ImageEdit & { project: string; image: string },
): Promise<ImageRecord> {
  const image = appliance.images.get(project, name);
  if (edit.name !== undefined && edit.name !== image.name) appliance.images.checkNewName(project, edit.name);
  const { description, labels, retired } = edit;
  return changeImage(appliance, image, {
    ...(edit.name === undefined || edit.name === image.name ? {} : { name: edit.name, origin: keptOrigin(image) }),
    ...(description === undefined ? {} : { description: parseDescription(description) }),
    ...(labels === undefined ? {} : { labels: changedLabels(image.labels ?? {}, labels) }),
    ...(retired === undefined ? {} : { retired }),
  });
}

/** Whom an image is shared with, or no longer: named projects, or all there are. */
export type Sharing = { projects: string[]; public: boolean };

/**
 * Lets other projects clone an image. NOT_FOUND, also for such a project, where the caller would see it; one that they do not
 * see is taken at its word, since whether there is such a project is none of their business. INVALID; BUSY.
 */
export async function shareImage(
  appliance: Appliance,
  { project, image: name, ...sharing }: Sharing & { project: string; image: string },
  sees: (project: string) => boolean,
): Promise<ImageRecord> {
  const image = appliance.images.get(project, name);
  for (const one of sharing.projects) {
    if (sees(parseName(one, "projects"))) appliance.projects.get(one);
  }
  const others = new Set([...(image.sharedWith ?? []), ...sharing.projects]);
  others.delete(image.project);
  return changeImage(appliance, image, {
    isPublic: sharing.public || image.isPublic === true,
    sharedWith: [...others].sort(),
    origin: keptOrigin(image),
  });
}

/** Takes that back; disks that were cloned meanwhile go on, and can be reverted. NOT_FOUND, BUSY. */
export async function unshareImage(
  appliance: Appliance,
  { project, image: name, ...sharing }: Sharing & { project: string; image: string },
): Promise<ImageRecord> {
  const image = appliance.images.get(project, name);
  return changeImage(appliance, image, {
    isPublic: image.isPublic === true && !sharing.public,
    sharedWith: (image.sharedWith ?? []).filter((one) => !sharing.projects.includes(one)),
  });
}

/**
 * Gives an image to another project. The former owner goes on sharing it where it has disks of it. NOT_FOUND, also for
 * that project; EXISTS when that has an image of this name; BUSY.
 */
export async function transferImage(
  appliance: Appliance,
  { project, image: name, to }: { project: string; image: string; to: string },
): Promise<ImageRecord> {
  const image = appliance.images.get(project, name);
  const owner = appliance.projects.get(to).name;
  if (owner === image.project) return image;
  appliance.images.checkNewName(owner, image.name);
  checkQuota(appliance, owner, { images: 1, bytes: image.sizeBytes });
  const hasDisks = appliance.disks.list(project).some((disk) => disk.image === image.id);
  const others = [...(image.sharedWith ?? []), ...(hasDisks ? [project] : [])].filter((one) => one !== owner);
  return changeImage(appliance, image, {
    project: owner,
    sharedWith: others.sort(),
    origin: keptOrigin(image),
  });
}

/** The origin of what somebody has made a thing of their own: no schedule removes it any more. */
function keptOrigin({ origin }: ImageRecord): ImageRecord["origin"] {
  if (origin.kind !== "snapshot") return origin;
  const { scheduled: _, ...kept } = origin;
  return kept;
}

async function changeImage(
  { records, runner }: Appliance,
  image: ImageRecord,
  changes: Partial<ImageRecord>,
): Promise<ImageRecord> {
  // an operation that makes or removes it writes its record too
  runner.refuseHeld(image.id);
  const changed: ImageRecord = { ...image, ...changes };
  await records.commit([{ collection: "images", key: image.id, value: changed }]);
  return changed;
}
