import type { Clock } from "../clock.ts";
import { ApplianceError } from "../errors.ts";
import type { Collection, Records } from "../store/records.ts";
import { parseDescription } from "../values/line.ts";
import { byName, parseName } from "../values/name.ts";
import { DEFAULT_PROJECT, type ProjectRecord } from "./project.ts";

/** What `default` is as long as nobody described it: it is there without a record. */
const BUILT_IN: ProjectRecord = { name: DEFAULT_PROJECT, createdAt: 0, requestedBy: "ingot" };

/** The projects that there are, by name. */
export class ProjectRegistry {
  readonly #records: Records;
  readonly #projects: Collection<ProjectRecord>;
  readonly #clock: Clock;

  constructor({ records, clock }: { records: Records; clock: Clock }) {
    this.#records = records;
    this.#projects = records.collection("projects");
    this.#clock = clock;
  }

  /** All projects by name. */
  list(): ProjectRecord[] {
    return [BUILT_IN, ...this.#projects.values()].sort(byName);
  }

  /** The project of this name; NOT_FOUND otherwise. */
  get(name: string): ProjectRecord {
    const project = name === DEFAULT_PROJECT ? BUILT_IN : this.#projects.get(name);
    if (project) return project;
    throw noSuchProject(name);
  }

  /** Whether a project of this name was another one at that time: the one that has it now is younger, or there is none. */
  isFormer(name: string, at: number): boolean {
    return name !== DEFAULT_PROJECT && at < (this.#projects.get(name)?.createdAt ?? Number.POSITIVE_INFINITY);
  }

  /** Makes a project. EXISTS for a name in use, INVALID for what can't be a name. */
  async add(request: { name: string; description?: string }, requestedBy: string): Promise<ProjectRecord> {
    const name = parseName(request.name);
    if (name === DEFAULT_PROJECT || this.#projects.get(name)) {
      throw new ApplianceError("EXISTS", `there is a project "${name}" already`, {
        details: { field: "name", value: name, remedy: "choose another name" },
      });
    }
    const { description = "" } = request;
    const described = description === "" ? {} : { description: parseDescription(description) };
    const project: ProjectRecord = { name, ...described, createdAt: this.#clock.now(), requestedBy };
    await this.#records.commit([{ collection: "projects", key: name, value: project }]);
    return project;
  }
}

/** NOT_FOUND, in the words for a project that is nowhere. */
export function noSuchProject(name: string): ApplianceError {
  return new ApplianceError("NOT_FOUND", `there is no project "${name}"`, {
    details: { field: "project", value: name, remedy: "ingot project list shows those that there are" },
  });
}
