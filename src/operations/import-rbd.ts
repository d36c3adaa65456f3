import { childDepth } from "../images/chain-depth.ts";
import type { ImageRecord } from "../images/image.ts";
import { newId } from "../values/id.ts";
import type { Appliance } from "./appliance.ts";
import type { OperationRecord, Procedure } from "./operation.ts";
import { checkPoolOpen } from "./pool-report.ts";
import { checkQuota, countImage } from "./quota.ts";

export type ImportRbdRequest = {
  project: string;
  name: string;
  /** `POOL/IMAGE` as it is now, or `POOL/IMAGE@SNAPSHOT`. */
  source: string;
  phonesHome: boolean;
};

type ImportRbdPlan = { image: string; source: string };

/** Makes an image from a volume elsewhere in Ceph, at once: a copy-on-write clone. EXISTS, POOL_FULL; what is wrong with the source shows in the operation. */
export async function importRbd(
  appliance: Appliance,
  { project, name, source, phonesHome }: ImportRbdRequest,
  requestedBy: string,
): Promise<OperationRecord> {
  await checkPoolOpen(appliance);
  appliance.images.checkNewName(project, name);
  checkQuota(appliance, project, { images: 1 });
  const image: ImageRecord = {
    id: newId("img"),
    name,
    project,
    // whether its machine was shut down in order, nobody knows
    origin: { kind: "rbd", source, clean: false },
    sizeBytes: 0,
    phonesHome,
    ready: false,
    // what its volume is a clone of itself, nobody tells
    depth: childDepth(undefined),
    createdAt: appliance.clock.now(),
    requestedBy,
  };
  return appliance.runner.begin<ImportRbdPlan>("import-rbd", {
    summary: `import image ${name} from RBD image ${source}`,
    project,
    requestedBy,
    plan: { image: image.id, source },
    holds: [image.id],
    changes: [{ collection: "images", key: image.id, value: image }],
  });
}

/** The one step: the clone, which is removed again when it fails, and so is the snapshot that it was made of. */
export function importRbdProcedure(appliance: Appliance): Procedure<ImportRbdPlan> {
  const { exchange, images, store } = appliance;
  return {
    kind: "import-rbd",
    steps: () => [
      {
        name: "clone-volume",
        deadlineSeconds: 300,
        run: async ({ plan, signal }) => {
          const { sizeBytes } = await exchange.adoptRbd(plan, signal);
          const image = await countImage(appliance, images.find(plan.image) as ImageRecord, sizeBytes);
          return { changes: [{ collection: "images", key: plan.image, value: { ...image, ready: true } }] };
        },
        undo: async ({ plan, signal }) => {
          // it waits for what is still under way: the clone is there by then, or never
          await exchange.endAdoption(plan, signal);
          await store.remove("image", plan.image, signal);
        },
      },
    ],
    undone: (plan) => [{ collection: "images", key: plan.image, value: null }],
  };
}
