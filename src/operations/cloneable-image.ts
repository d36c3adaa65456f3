import { ApplianceError } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import type { Appliance } from "./appliance.ts";

/** The whole image that a project means by this name, its own or a shared one. NOT_FOUND; CONFLICT while its content is not there. */
export function wholeImage(appliance: Appliance, project: string, name: string): ImageRecord {
  const image = appliance.images.getUsable(project, name);
  if (image.ready) return image;
  throw new ApplianceError("CONFLICT", `image ${image.name} is not complete`, {
    details: { field: "image", value: name, remedy: "wait for its import or snapshot: ingot operation list" },
  });
}

/** The same for something new to be made of it: CONFLICT too when it is retired. */
export function cloneableImage(appliance: Appliance, project: string, name: string): ImageRecord {
  const image = wholeImage(appliance, project, name);
  if (!image.retired) return image;
  throw new ApplianceError("CONFLICT", `image ${image.name} is retired: nothing new is made of it`, {
    details: { field: "image", value: name, remedy: "choose another one, or ingot image retire NAME --undo" },
  });
}
