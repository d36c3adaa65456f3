import { ApplianceError } from "../errors.ts";
import type { Collection } from "../store/records.ts";
import { byName, parseName } from "../values/name.ts";

/** What a project owns, and others may use when it is shared with them. */
export type OwnedThing = {
  id: string;
  name: string;
  project: string;
  /** Every project may use it. */
  isPublic?: boolean;
  /** Names of the projects that may use it, beside its own. */
  sharedWith?: string[];
};

/** Things of a kind, by project and name; the kind is the word for people, and the command that lists them. */
export class OwnedThings<Thing extends OwnedThing> {
  readonly #things: Collection<Thing>;
  readonly #kind: string;

  constructor(things: Collection<Thing>, kind: string) {
    this.#things = things;
    this.#kind = kind;
  }

  /** All of a project (or of all), by name. */
  list(project?: string): Thing[] {
    return this.#of(project).sort(byName);
  }

  /** The one of this name or id in the project; NOT_FOUND otherwise. */
  get(project: string, nameOrId: string): Thing {
    const thing = this.#of(project).find((one) => one.name === nameOrId || one.id === nameOrId);
    if (!thing) {
      const kind = this.#kind;
      throw new ApplianceError("NOT_FOUND", `there is no ${kind} "${nameOrId}" in project ${project}`, {
        details: { field: kind, value: nameOrId, remedy: `ingot ${kind} list shows those that there are` },
      });
    }
    return thing;
  }

  /**
   * The one that a project means by this name or id: its own, else the one that is shared with it, written
   * `OWNER/NAME` where several are. NOT_FOUND otherwise; INVALID for a name that several owners share with it.
   */
  getUsable(project: string, nameOrId: string): Thing {
    const own = this.#of(project).find((one) => one.name === nameOrId || one.id === nameOrId);
    if (own) return own;
    const [first, ...others] = this.listUsable(project).filter((one) =>
      [one.name, one.id, `${one.project}/${one.name}`].includes(nameOrId),
    );
    // says what there is
    if (!first) return this.get(project, nameOrId);
    if (others.length === 0) return first;
    const [kind, names] = [this.#kind, [first, ...others].map((one) => nameFrom(project, one)).join(", ")];
    throw new ApplianceError("INVALID", `${kind}: several projects share one called "${nameOrId}" with ${project}`, {
      details: { field: kind, value: nameOrId, remedy: `say which: ${names}` },
    });
  }

  /** A project's own by name, then those that others share with it. */
  listUsable(project: string): Thing[] {
    const shared = this.list().filter((one) => one.project !== project && isUsableBy(project, one));
    return [...this.list(project), ...shared];
  }

  /** All of them, in no order. */
  all(): Iterable<Thing> {
    return this.#things.values();
  }

  find(id: string | undefined): Thing | undefined {
    return id === undefined ? undefined : this.#things.get(id);
  }

  /** Whether the project has one of this name. */
  isTaken(project: string, name: string): boolean {
    return this.#of(project).some((one) => one.name === name);
  }

  /** EXISTS when the name is taken in the project, INVALID when it can't be a name. */
  checkNewName(project: string, name: string): void {
    parseName(name);
    if (this.isTaken(project, name)) {
      const kind = this.#kind;
      throw new ApplianceError(
        "EXISTS",
        `project ${project} has ${/^[aeiou]/.test(kind) ? "an" : "a"} ${kind} "${name}" already`,
        {
          details: { field: "name", value: name, remedy: `choose another name, or remove that ${kind} first` },
        },
      );
    }
  }

  #of(project: string | undefined): Thing[] {
    const all = [...this.#things.values()];
    return project === undefined ? all : all.filter((one) => one.project === project);
  }
}

/** Whether a project may use something: its own, what is public, or shared with it. */
export function isUsableBy(project: string, thing: OwnedThing): boolean {
  return thing.project === project || thing.isPublic === true || (thing.sharedWith ?? []).includes(project);
}

/** What something is called by a project: `OWNER/NAME` where it is another's. */
export function nameFrom(project: string, thing: Pick<OwnedThing, "name" | "project">): string {
  return thing.project === project ? thing.name : `${thing.project}/${thing.name}`;
}
