import { ApplianceError } from "../errors.ts";

const SECTOR_BYTES = 512;
/** What a partition table of 32-bit sector numbers is far below, and every file system and target far above. */
const LARGEST_BYTES = 64 * 1024 ** 4;

/** INVALID for what can't be a disk's size: whole sectors, at most 64 TiB, and not less than the image that it begins with. */
export function checkDiskSize(sizeBytes: number, image?: { name: string; sizeBytes: number }): void {
  const refuse = (message: string, remedy: string) => {
    throw new ApplianceError("INVALID", `size: ${message}`, {
      details: { field: "sizeBytes", value: sizeBytes, remedy },
    });
  };
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % SECTOR_BYTES !== 0) {
    refuse("a disk has whole sectors of 512 bytes", "give a multiple of 512, as 20G");
  }
  if (sizeBytes > LARGEST_BYTES) refuse("a disk has at most 64 TiB", "give less");
  if (image && sizeBytes < image.sizeBytes) {
    refuse(`image ${image.name} does not fit`, `give ${image.sizeBytes} bytes at least, or leave the size out`);
  }
}
