import { ApplianceError } from "../errors.ts";
import { NETWORKS } from "../networks/network.ts";
import { DEFAULT_PROJECT } from "../projects/project.ts";
import type { Appliance } from "./appliance.ts";
import { QUOTAS } from "./quota.ts";
import type { Uploads } from "./uploads.ts";
import { describeUsers, type User } from "./users.ts";

/**
 * Forgets a project, its quota, what was shared with it, the roles in it, and its uploads, whose senders are cut off: a
 * later one of the same name is another one. NOT_FOUND; IN_USE with `details.usedBy` while it owns anything or an operation works in it;
 * CONFLICT for `default`.
 */
export async function removeProject(appliance: Appliance, uploads: Uploads, name: string): Promise<void> {
  const project = appliance.projects.get(name);
  if (name === DEFAULT_PROJECT) {
    throw new ApplianceError("CONFLICT", `project ${name} is always there`, {
      details: { field: "project", value: name, remedy: "leave it empty" },
    });
  }
  const usedBy: User[] = [
    ...appliance.nodes
      .list()
      .flatMap((one) => (one.project === name ? [{ kind: "node" as const, name: one.name }] : [])),
    ...appliance.images.list(name).map((one) => ({ kind: "image" as const, name: one.name })),
    ...appliance.networks.list(name).map((one) => ({ kind: "network" as const, name: one.name })),
    ...appliance.disks.all(name).map((one) => ({ kind: "disk" as const, name: one.name })),
    ...appliance.runner
      .list()
      .flatMap((one) =>
        one.project === name && one.endedAt === undefined ? [{ kind: "operation" as const, name: one.id }] : [],
      ),
  ];
  if (usedBy.length > 0) {
    throw new ApplianceError("IN_USE", `project ${project.name} owns ${describeUsers(usedBy)}`, {
      details: { field: "project", value: name, usedBy, remedy: "remove or transfer what it owns first" },
    });
  }
  const unshared = appliance.images
    .list()
    .filter(({ sharedWith = [] }) => sharedWith.includes(name))
    .map((image) => ({
      collection: "images",
      key: image.id,
      value: { ...image, sharedWith: image.sharedWith?.filter((one) => one !== name) },
    }));
  // the isolator still lets it in, until the network is shared anew: it has a project of that name as long as it has one
  const left = appliance.networks
    .list()
    .filter(({ sharedWith = [] }) => sharedWith.includes(name))
    .map((network) => ({
      collection: NETWORKS,
      key: network.id,
      value: { ...network, sharedWith: network.sharedWith?.filter((one) => one !== name) },
    }));
  const own = ["projects", QUOTAS].map((collection) => ({ collection, key: name, value: null }));
  const roles = [...appliance.tokens.withoutProject(name), ...appliance.users.withoutProject(name)];
  await uploads.removeAll(name, [...own, ...unshared, ...left, ...roles]);
}
