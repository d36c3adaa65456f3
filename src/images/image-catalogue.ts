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

  find(id: string): ImageRecord | undefined {
    return this.#images.get(id);
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
