import { ApplianceError } from "../errors.ts";
import type { Collection, Records } from "../store/records.ts";
import { byName, parseName } from "../values/name.ts";
import type { DiskRecord } from "./disk.ts";

/** What a name has room for beside a serial. */
const STEM_LETTERS = 63 - "-9999".length;

/** The disks that there are, by project and name. */
export class DiskCatalogue {
  readonly #disks: Collection<DiskRecord>;

  constructor(records: Records) {
    this.#disks = records.collection("disks");
  }

  /** The disks of a project (or of all), by name; deleted ones are not among them. */
  list(project?: string): DiskRecord[] {
    return this.#of(project).sort(byName);
  }

  /** The deleted ones whose content is still there, the oldest first. */
  listDeleted(project?: string): DiskRecord[] {
    return this.all(project)
      .filter(isDeleted)
      .sort((a, b) => a.deletedAt - b.deletedAt);
  }

  /** All whose content is in the pool, deleted ones too. */
  all(project?: string): DiskRecord[] {
    const all = [...this.#disks.values()];
    return project === undefined ? all : all.filter((one) => one.project === project);
  }

  /** The deleted disk of this name or id, the one deleted last where there are several; NOT_FOUND otherwise. */
  getDeleted(project: string, nameOrId: string): DiskRecord {
    const disk = this.listDeleted(project).findLast((one) => one.name === nameOrId || one.id === nameOrId);
    if (disk) return disk;
    throw new ApplianceError("NOT_FOUND", `there is no deleted disk "${nameOrId}" in project ${project}`, {
      details: { field: "disk", value: nameOrId, remedy: "ingot disk list --deleted shows those that there are" },
    });
  }

  /** The disk of this name or id in the project; NOT_FOUND otherwise. */
  get(project: string, nameOrId: string): DiskRecord {
    const disk = this.#of(project).find((one) => one.name === nameOrId || one.id === nameOrId);
    if (!disk) {
      throw new ApplianceError("NOT_FOUND", `there is no disk "${nameOrId}" in project ${project}`, {
        details: {
          field: "disk",
          value: nameOrId,
          remedy: this.listDeleted(project).some((one) => one.name === nameOrId || one.id === nameOrId)
            ? `it is deleted; ingot disk undelete ${nameOrId} brings it back`
            : "ingot disk list shows those that there are",
        },
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

  /** The first of BASE-1, BASE-2, ... that no disk of the project has; long names are cut. */
  freeName(project: string, wished: string): string {
    const base = wished.slice(0, STEM_LETTERS);
    const taken = new Set(this.#of(project).map(({ name }) => name));
    let serial = 1;
    while (taken.has(`${base}-${serial}`)) serial += 1;
    return `${base}-${serial}`;
  }

  #of(project: string | undefined): DiskRecord[] {
    return this.all(project).filter((one) => !isDeleted(one));
  }
}

function isDeleted(disk: DiskRecord): disk is DiskRecord & { deletedAt: number } {
  return disk.deletedAt !== undefined;
}
