import { ApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure } from "./operation.ts";

type RemoveImagePlan = { image: string };

/** Deletes an image for good. IN_USE while there are disks cloned from it: they could not be reverted any more. */
export async function removeImage(
  appliance: Appliance,
  request: { project: string; image: string },
  requestedBy: string,
): Promise<OperationRecord> {
  const image = appliance.images.get(request.project, request.image);
  appliance.runner.refuseHeld(image.id);
  const clones = appliance.disks.list().filter((disk) => disk.image === image.id);
  if (clones.length > 0) {
    const names = clones.map((disk) => disk.name).join(", ");
    throw new ApplianceError("IN_USE", `image ${image.name} has clones: ${names}`, {
      details: {
        field: "image",
        value: image.name,
        disks: clones.map((disk) => disk.name),
        remedy: "remove those disks first",
      },
    });
  }
  return appliance.runner.begin<RemoveImagePlan>("remove-image", {
    summary: `remove image ${image.name}`,
    project: request.project,
    requestedBy,
    plan: { image: image.id },
    holds: [image.id],
    // no new clones from here on
    changes: [{ collection: "images", key: image.id, value: { ...image, ready: false } }],
  });
}

/** The one step of an image's removal: its content and record. There is no way back. */
export function removeImageProcedure(appliance: Appliance): Procedure<RemoveImagePlan> {
  return {
    kind: "remove-image",
    steps: () => [
      {
        name: "remove-content",
        deadlineSeconds: 120,
        pointOfNoReturn: true,
        run: async ({ plan, signal }) => {
          await appliance.store.remove("image", plan.image, signal);
          return { changes: [{ collection: "images", key: plan.image, value: null }] };
        },
      },
    ],
  };
}
