import type { Grant } from "../access/caller.ts";
import { ApplianceError, isApplianceError } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import { DEFAULT_PROJECT } from "../projects/project.ts";
import { freeName } from "../values/name.ts";
import type { Appliance } from "./appliance.ts";
import { bootEntryOf } from "./attachment.ts";
import { deprovision } from "./deprovision.ts";
import { exportImage } from "./export-image.ts";
import type { OperationKind, OperationRecord, Procedure, Step, StepContext } from "./operation.ts";
import { purgeDisk, removeDisk } from "./remove-disk.ts";
import { removeImage } from "./remove-image.ts";
import { removeProject } from "./remove-project.ts";
import { snapshotDisk } from "./snapshot-disk.ts";
import { removeNetwork } from "./tenant-network.ts";
import { unlessAborted } from "./until-aborted.ts";
import type { Uploads } from "./uploads.ts";
import { describeUsers, usersOfImage } from "./users.ts";

/** `to`: a directory on the appliance where all images, and what disks hold, are written before they go; without it, they just go. */
export type CloseRequest = { project: string; to?: string };

type ClosePlan = { project: string; to?: string; requestedBy: string };

/** What closing does to each thing of a project, in its order. */
export type ClosingReport = {
  project: string;
  /** Nodes that are released, and all that become the default project's. */
  released: string[];
  nodes: string[];
  /** Snapshots and images that are exported; none without a place for them. */
  exported: string[];
  disks: string[];
  images: string[];
  networks: string[];
  tokens: string[];
  users: string[];
  /** Why it can't be closed yet; empty when it can. */
  obstacles: string[];
};

/** Content of whole disks may be written. */
const DEADLINE_SECONDS = 24 * 3600;

/** What closing a project would do, and what is in its way. NOT_FOUND, CONFLICT for `default`. */
export function planClosing(appliance: Appliance, { project, to }: CloseRequest): ClosingReport {
  const { name } = appliance.projects.get(project);
  if (name === DEFAULT_PROJECT) {
    throw new ApplianceError("CONFLICT", `project ${name} is always there`, {
      details: { field: "project", value: name, remedy: "remove what it owns one by one" },
    });
  }
  const nodes = appliance.nodes.list().filter((node) => node.project === name);
  const images = appliance.images.list(name);
  const disks = appliance.disks.all(name);
  const names = (things: { name: string }[]) => things.map((one) => one.name);
  return {
    project: name,
    released: names(nodes.filter(({ id }) => bootEntryOf(appliance.records, id))),
    nodes: names(nodes),
    exported:
      to === undefined ? [] : [...names(images), ...names(disks.filter((disk) => disk.deletedAt === undefined))],
    disks: names(disks),
    images: names(images),
    networks: names(appliance.networks.list(name)),
    tokens: names(appliance.tokens.list().filter((one) => isIn(one, name))),
    users: names(appliance.users.list().filter((one) => isIn(one, name))),
    obstacles: [
      ...images.flatMap((image) => usedElsewhere(appliance, image)),
      ...appliance.networks.list(name).flatMap(({ id, name: network }) => {
        const others = appliance.networks
          .membersOf(id)
          .filter(({ node }) => appliance.nodes.find(node)?.project !== name).length;
        return others > 0 ? [`network ${network} has NICs of other projects: ${others}`] : [];
      }),
    ],
  };
}

/** Releases, exports or deletes all that a project owns, and forgets it. As `planClosing`; IN_USE with what is in its way. */
export async function closeProject(
  appliance: Appliance,
  request: CloseRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  const { project, obstacles } = planClosing(appliance, request);
  if (obstacles.length > 0) {
    throw new ApplianceError("IN_USE", `project ${project} can't be closed: ${obstacles.join("; ")}`, {
      details: {
        field: "project",
        value: project,
        obstacles,
        remedy: "have those removed, or transfer the images first",
      },
    });
  }
  return appliance.runner.begin<ClosePlan>("close-project", {
    summary: `close project ${project}`,
    // it outlives the project
    project: DEFAULT_PROJECT,
    requestedBy,
    plan: { ...request, project, requestedBy },
    holds: [`project ${project}`],
  });
}

/**
 * The steps of closing. Each thing's end is an operation of its own, with its own deadline and reason; one that does not end well
 * stops the closing, which goes on with what is left when it is retried, and has what is stuck retried. There is no way back.
 */
export function closeProjectProcedure(appliance: Appliance, uploads: Uploads): Procedure<ClosePlan> {
  const ofProject = <Thing extends { project: string }>(things: Thing[], { project }: ClosePlan) =>
    things.filter((one) => one.project === project);
  const step = (name: string, work: (context: StepContext<ClosePlan>) => Work[]): Step<ClosePlan> => ({
    name,
    deadlineSeconds: DEADLINE_SECONDS,
    pointOfNoReturn: true,
    run: (context) => doAll(appliance, context, () => work(context)),
  });

  const release = step("release-nodes", ({ plan }) =>
    ofProject(appliance.nodes.list(), plan)
      .filter(({ id }) => bootEntryOf(appliance.records, id))
      .map(({ id }) => ({
        id,
        begin: () => deprovision(appliance, { node: id, disk: "keep", now: false }, plan.requestedBy),
      })),
  );
  const snapshot = step("snapshot-disks", ({ plan, operation }) =>
    appliance.disks
      .list(plan.project)
      .filter(({ id }) => !wasDone(appliance, operation, "snapshot", id))
      .map(({ id, name, project }) => ({
        id,
        begin: () =>
          snapshotDisk(
            appliance,
            { project, disk: id, image: freeName(name, (one) => appliance.images.isTaken(project, one)) },
            plan.requestedBy,
          ),
      })),
  );
  const write = step("export-images", ({ plan, operation }) =>
    appliance.images
      .list(plan.project)
      .filter(({ id }) => !wasDone(appliance, operation, "export-image", id))
      .map(({ id, name, project }) => ({
        id,
        begin: () =>
          exportImage(
            appliance,
            { project, image: name, to: plan.to as string, format: "qcow2", compression: "none" },
            plan.requestedBy,
          ),
      })),
  );
  const removeDisks = step("remove-disks", ({ plan }) =>
    appliance.disks.all(plan.project).map(({ id, project, deletedAt }) => ({
      id,
      begin: () =>
        deletedAt === undefined
          ? removeDisk(appliance, { project, disk: id, now: true }, plan.requestedBy)
          : purgeDisk(appliance, { project, disk: id }, plan.requestedBy),
    })),
  );
  const removeImages = step("remove-images", ({ plan }) =>
    appliance.images.list(plan.project).map(({ id, project }) => ({
      id,
      begin: () => removeImage(appliance, { project, image: id }, plan.requestedBy),
    })),
  );
  const removeNetworks = step("remove-networks", ({ plan }) =>
    appliance.networks.list(plan.project).map(({ id, project }) => ({
      id,
      begin: () => removeNetwork(appliance, { project, network: id }, plan.requestedBy),
    })),
  );
  const forget: Step<ClosePlan> = {
    name: "forget-project",
    deadlineSeconds: 60,
    pointOfNoReturn: true,
    run: async ({ plan }) => {
      for (const node of ofProject(appliance.nodes.list(), plan)) {
        // somebody may have provisioned it while the rest went
        appliance.runner.refuseHeld(node.id);
        if (bootEntryOf(appliance.records, node.id)) throw provisionedAnew(node.name);
        // its drives stay marked as this project's
        await appliance.nodes.change(node.id, (found) => ({ ...found, project: DEFAULT_PROJECT }));
        for (const { mac } of node.nics) appliance.boots.forget(mac);
      }
      await removeProject(appliance, uploads, plan.project).catch((error) => {
        if (!isApplianceError(error, "NOT_FOUND")) throw error;
      });
    },
  };
  return {
    kind: "close-project",
    looksBack: true,
    steps: ({ to }) => [
      release,
      ...(to === undefined ? [] : [snapshot, write]),
      removeDisks,
      removeImages,
      removeNetworks,
      forget,
    ],
  };
}

/** A thing that is left, and how the operation begins that ends it. */
type Work = { id: string; begin: () => Promise<OperationRecord> };

/** Begins what is left, all at once, and waits for it, until nothing is; what is at a thing already is waited for first. */
async function doAll(
  { runner }: Appliance,
  { progress, signal }: StepContext<ClosePlan>,
  left: () => Work[],
): Promise<void> {
  for (let total = left().length, work = left(); work.length > 0; work = left()) {
    progress(total - work.length, total, "things");
    const ended = await Promise.all(
      work.map(async ({ id, begin }) => {
        const holder = runner.holder(id);
        // whoever has this one retried has that one retried
        if (holder !== undefined && runner.get(holder).state === "stuck") await runner.retry(holder);
        const operation = holder ?? (await begin()).id;
        const end = await unlessAborted(signal, () => runner.settled(operation));
        return { end, isOurs: holder === undefined };
      }),
    );
    const failed = ended.find(({ end, isOurs }) => end.state === "stuck" || (isOurs && end.state !== "done"))?.end;
    if (failed) {
      throw new ApplianceError("CONFLICT", `${failed.summary} ended ${failed.state}: ${failed.error?.message}`, {
        details: {
          operation: failed.id,
          remedy: `ingot operation show ${failed.id}; once that is mended, ingot operation retry this one`,
        },
      });
    }
  }
}

/** Whether such an operation on a thing was done since this one began: a step that is run again does not do it twice. */
function wasDone({ runner }: Appliance, operation: string, kind: OperationKind, thing: string): boolean {
  const since = runner.get(operation).createdAt;
  return runner
    .list()
    .some((one) => one.kind === kind && one.state === "done" && one.createdAt >= since && isAbout(one, thing));
}

function isAbout({ holds, uses = [] }: OperationRecord, thing: string): boolean {
  return holds.includes(thing) || uses.includes(thing);
}

function usedElsewhere(appliance: Appliance, image: ImageRecord): string[] {
  const others = usersOfImage(appliance, image).filter(({ project }) => project !== undefined);
  return others.length > 0 ? [`image ${image.name} is used by ${describeUsers(others)}`] : [];
}

function provisionedAnew(node: string): ApplianceError {
  return new ApplianceError("IN_USE", `node ${node} was provisioned while its project was closed`, {
    details: {
      field: "node",
      value: node,
      remedy: `ingot deprovision ${node} --delete-disk, then ingot operation retry this one`,
    },
  });
}

function isIn({ grants }: { grants: readonly Grant[] }, project: string): boolean {
  return grants.some((grant) => "project" in grant && grant.project === project);
}
