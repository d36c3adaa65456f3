import { ApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import { REMOVAL_SECONDS, removeContent } from "./remove-content.ts";
import type { OperationRequest } from "./runner.ts";
import { describeUsers, usersOfImage } from "./users.ts";

type RemoveImagePlan = { image: string };

/**
 * Deletes an image for good. IN_USE with `details.usedBy` while there are disks cloned from it, which could not be
 * reverted any more, or while an operation or a download is at it.
 */
export async function removeImage(
  appliance: Appliance,
  request: { project: string; image: string },
  requestedBy: string,
): Promise<OperationRecord> {
  return appliance.runner.begin("remove-image", () => newRemoval(appliance, request, requestedBy));
}

function newRemoval(
  appliance: Appliance,
  request: { project: string; image: string },
  requestedBy: string,
): OperationRequest<RemoveImagePlan> {
  const image = appliance.images.get(request.project, request.image);
  const usedBy = usersOfImage(appliance, image);
  if (usedBy.length > 0) {
    throw new ApplianceError("IN_USE", `image ${image.name} is used by ${describeUsers(usedBy)}`, {
      details: {
        field: "image",
        value: image.name,
        usedBy,
        remedy: "remove those disks, wait for those operations; ingot image retire keeps new clones away",
      },
    });
  }
  return {
    summary: `remove image ${image.name}`,
    project: request.project,
    requestedBy,
    plan: { image: image.id },
    holds: [image.id],
    // no new clones from here on
    changes: [{ collection: "images", key: image.id, value: { ...image, ready: false } }],
  };
}

/** The one step of an image's removal: its content and record. There is no way back. */
export function removeImageProcedure(appliance: Appliance): Procedure<RemoveImagePlan> {
  return {
    kind: "remove-image",
    steps: () => [
      {
        name: "remove-content",
        deadlineSeconds: REMOVAL_SECONDS,
        pointOfNoReturn: true,
        run: async ({ plan, signal }) => {
          await removeContent(appliance, "image", plan.image, signal);
          return { changes: [{ collection: "images", key: plan.image, value: null }] };
        },
      },
    ],
    // it never began
    undone: ({ image: id }) => {
      const image = appliance.images.find(id);
      return image ? [{ collection: "images", key: id, value: { ...image, ready: true } }] : [];
    },
  };
}
