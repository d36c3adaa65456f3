import { ApplianceError } from "../errors.ts";
import type { Collection, Records } from "../store/records.ts";
import { byName, parseName } from "../values/name.ts";
import type { DiskRecord } from "./disk.ts";

/** The disks that there are, by project and name. */
export class DiskCatalogue {
  readonly #disks: Collection<DiskRecord>;

  constructor(records: Records) {
    this.#disks = records.collection("disks");
  }

  /** All disks of a project (or of all), by name. */
  list(project?: string): DiskRecord[] {
    return this.#of(project).sort(byName);
  }

  /** The disk of this name or id in the project; NOT_FOUND otherwise. */
  get(project: string, nameOrId: string): DiskRecord {
    const disk = this.#of(project).find((one) => one.name === nameOrId || one.id === nameOrId);
    if (!disk) {
      throw new ApplianceError("NOT_FOUND", `there is no disk "${nameOrId}" in project ${project}`, {
        details: { field: "disk", value: nameOrId, remedy: "ingot disk list shows those that there are" },
      });
    }
    return disk;
  }

  find(id: string): DiskRecord | undefined {
    return this.#disks.get(id);
  }

  /** EXISTS when the name is taken in the project, INVALID when it can't be a name. */
  checkNewName(project: string, name: string): void {
    parseName(name);
    if (this.#of(project).some((one) => one.name === name)) {
      throw new ApplianceError("EXISTS", `project ${project} has a disk "${name}" already`, {
        details: {
          field: "diskName",
          value: name,
          remedy: `choose another name, or boot that one with --disk ${name}`,
        },
      });
    }
  }

  /** The first of BASE-1, BASE-2, ... that no disk of the project has. */
  freeName(project: string, base: string): string {
    const taken = new Set(this.#of(project).map(({ name }) => name));
    let serial = 1;
    while (taken.has(`${base}-${serial}`)) serial += 1;
    return `${base}-${serial}`;
  }

  #of(project: string | undefined): DiskRecord[] {
    const all = [...this.#disks.values()];
    return project === undefined ? all : all.filter((one) => one.project === project);
  }
}
