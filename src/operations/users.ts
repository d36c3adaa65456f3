import type { ImageRecord } from "../images/image.ts";
import type { Appliance } from "./appliance.ts";

/** What keeps something in use; `project` where that is another one. An operation's name is its id. */
export type User = {
  kind: "node" | "image" | "disk" | "network" | "operation" | "download" | "cabling";
  name: string;
  project?: string;
};

/** So many are named in a sentence; `details.usedBy` has all. */
const NAMED = 5;

/** What uses an image: disks cloned from it, in any project, and whatever works on it or reads it now. */
export function usersOfImage({ disks, runner }: Appliance, image: ImageRecord): User[] {
  const clones = disks.list().filter((disk) => disk.image === image.id);
  return [
    ...clones.map((disk) => ({
      kind: "disk" as const,
      name: disk.name,
      ...(disk.project === image.project ? {} : { project: disk.project }),
    })),
    ...runner.usersOf(image.id).map((user) => {
      const project = user.kind === "operation" ? runner.get(user.name).project : image.project;
      return { ...user, ...(project === image.project ? {} : { project }) };
    }),
  ];
}

/** `disk node-1-1, disk node-2-1 and 3 more, 2 of other projects`: who reads that may not know what others have. */
export function describeUsers(users: readonly User[]): string {
  const own = users.filter(({ project }) => project === undefined);
  const named = own.slice(0, NAMED).map(({ kind, name }) => `${kind} ${name}`);
  const more = own.length - named.length;
  const others = users.length - own.length;
  return [
    ...(named.length > 0 ? [`${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`] : []),
    ...(others > 0 ? [`${others} of other projects`] : []),
  ].join(", ");
}
