import { ApplianceError } from "../errors.ts";
import type { Collection, Records } from "../store/records.ts";
import { byName, parseName } from "../values/name.ts";
import type { ImageRecord } from "./image.ts";

/** The images that there are, by project and name. */
export class ImageCatalogue {
  readonly #images: Collection<ImageRecord>;

  constructor(records: Records) {
    this.#images = records.collection("images");
  }

  /** All images of a project (or of all), by name. */
  list(project?: string): ImageRecord[] {
    return this.#of(project).sort(byName);
  }

  /** The image of this name or id in the project; NOT_FOUND otherwise. */
  get(project: string, nameOrId: string): ImageRecord {
    const image = this.#of(project).find((one) => one.name === nameOrId || one.id === nameOrId);
    if (!image) {
      throw new ApplianceError("NOT_FOUND", `there is no image "${nameOrId}" in project ${project}`, {
        details: { field: "image", value: nameOrId, remedy: "ingot image list shows those that there are" },
      });
    }
    return image;
  }

  /**
   * The image that a project means by this name or id: its own, else the one that is shared with it, written
   * `OWNER/NAME` where several are. NOT_FOUND otherwise; INVALID for a name that several owners share with it.
   */
  getUsable(project: string, nameOrId: string): ImageRecord {
    const own = this.#of(project).find((one) => one.name === nameOrId || one.id === nameOrId);
    if (own) return own;
    const [first, ...others] = this.listUsable(project).filter((one) =>
      [one.name, one.id, `${one.project}/${one.name}`].includes(nameOrId),
    );
    // says what there is
    if (!first) return this.get(project, nameOrId);
    if (others.length === 0) return first;
    const names = [first, ...others].map((one) => nameFrom(project, one)).join(", ");
    throw new ApplianceError("INVALID", `image: several projects share an image "${nameOrId}" with ${project}`, {
      details: { field: "image", value: nameOrId, remedy: `say which: ${names}` },
    });
  }

  /** A project's own images by name, then those that others share with it. */
  listUsable(project: string): ImageRecord[] {
    const shared = this.list().filter((one) => one.project !== project && isUsableBy(project, one));
    return [...this.list(project), ...shared];
  }

  /** All images, in no order. */
  all(): Iterable<ImageRecord> {
    return this.#images.values();
  }

  find(id: string | undefined): ImageRecord | undefined {
    return id === undefined ? undefined : this.#images.get(id);
  }

  /** EXISTS when the name is taken in the project, INVALID when it can't be a name. */
  checkNewName(project: string, name: string): void {
    parseName(name);
    if (this.#of(project).some((one) => one.name === name)) {
      throw new ApplianceError("EXISTS", `project ${project} has an image "${name}" already`, {
        details: { field: "name", value: name, remedy: "choose another name, or remove that image first" },
      });
    }
  }

  #of(project: string | undefined): ImageRecord[] {
    const all = [...this.#images.values()];
    return project === undefined ? all : all.filter((one) => one.project === project);
  }
}

/** Whether a project may clone an image: its own, one that is public, or shared with it. */
export function isUsableBy(project: string, image: ImageRecord): boolean {
  return image.project === project || image.isPublic === true || (image.sharedWith ?? []).includes(project);
}

/** What an image is called by a project: `OWNER/NAME` where it is another's. */
export function nameFrom(project: string, image: ImageRecord): string {
  return image.project === project ? image.name : `${image.project}/${image.name}`;
}
