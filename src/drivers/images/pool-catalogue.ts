import type { StoredKind } from "./image-store.ts";

/**
 * What the pool itself tells of its images and disks, kept beside their content: from it a new appliance rebuilds its
 * records. Fails like an image store.
 */
export interface PoolCatalogue {
  /**
   * Writes the description of an image or disk, durably, over the one that it has. NOT_FOUND where the pool has no such
   * content. CONFLICT (`details.appliance`) where it is described as another appliance's than its own or `takenFrom`.
   */
  describe(description: Description, takenFrom: string | undefined, signal: AbortSignal): Promise<void>;
  /** Id of the appliance that an image or disk belongs to; undefined where nobody has described it, or it is not there. */
  owner(kind: StoredKind, id: string, signal: AbortSignal): Promise<string | undefined>;
  /**
   * Takes a leftover away by its name, or finishes what it is of, so that nothing of it is left but a whole image or disk.
   * Not for work that is under way. Gone already is success; INVALID for what is no leftover's name.
   */
  clear(leftover: string, signal: AbortSignal): Promise<void>;
  /** All that there is: whole things with their descriptions, and what interrupted work left. */
  survey(signal: AbortSignal): Promise<Survey>;
}

/** What an appliance says of one of its images or disks. No secrets. */
export type Description = {
  schema: 1;
  kind: StoredKind;
  id: string;
  /** Id of the appliance that it belongs to: that one alone serves it. */
  appliance: string;
  /** When this was written, in milliseconds since the epoch. */
  describedAt: number;
  /** Name of the node that a disk is attached to: for people, since nodes are another appliance's own. */
  node?: string;
  /** The record as the appliance has it, but for the node's id. */
  record: Record<string, unknown>;
};

/** Without a description: nobody has written one yet, or it can't be read. */
export type SurveyedThing = { kind: StoredKind; id: string; sizeBytes: number; description?: Description };

/**
 * What interrupted work left: something half made, the former content of a disk that was reverted, something deleted
 * that others still hang on, the mark of a snapshot on a disk. `half-made` is what may be somebody else's too. `name` is what the pool calls it; `id` is of the image
 * or disk that the work was at.
 */
export type Leftover = { what: "unfinished" | "half-made" | "replaced" | "deleted" | "mark"; id: string; name: string };

/** The images and disks that such a name is about: `old.disk-1`, `disk-1@img-1`. */
export function thingsOfLeftover(name: string): string[] {
  return name.replace(/^(?:new|old)\./, "").split("@");
}

export type Survey = { things: SurveyedThing[]; leftovers: Leftover[] };
