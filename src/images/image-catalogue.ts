import { OwnedThings } from "../projects/owned-things.ts";
import type { Records } from "../store/records.ts";
import type { ImageRecord } from "./image.ts";

/** The images that there are. */
export class ImageCatalogue extends OwnedThings<ImageRecord> {
  constructor(records: Records) {
    super(records.collection("images"), "image");
  }
}
