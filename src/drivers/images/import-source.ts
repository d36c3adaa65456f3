import type { FileHandle } from "node:fs/promises";
import { normalize } from "node:path";
import { ApplianceError, isApplianceError } from "../../errors.ts";
import { openConfined } from "../../net/confined-file.ts";

/** Opens a file that is to be imported. FORBIDDEN for a path outside the import directories, by name or by a link. */
export async function openSource(path: string, importDirectories: string[]): Promise<FileHandle> {
  const plain = normalize(path);
  const directory = importDirectories.find((one) => plain.startsWith(`${normalize(one).replace(/\/$/, "")}/`));
  if (directory === undefined) {
    throw new ApplianceError("FORBIDDEN", `path: ${path} is in no import directory`, {
      details: {
        field: "path",
        value: path,
        remedy: `put the file into ${importDirectories.join(" or ")}, or add its directory to pool.importDirectories`,
      },
    });
  }
  try {
    return (await openConfined(directory, plain.slice(normalize(directory).replace(/\/$/, "").length))).handle;
  } catch (cause) {
    throw unusableSource(path, cause);
  }
}

function unusableSource(path: string, cause: unknown): unknown {
  const field = { field: "path", value: path };
  if (isApplianceError(cause, "NOT_FOUND")) {
    const remedy = "the path is one on the appliance: copy the file there first";
    return new ApplianceError("NOT_FOUND", `path: there is no file ${path}`, { details: { ...field, remedy }, cause });
  }
  if (isApplianceError(cause, "FORBIDDEN")) {
    const remedy = "put the file itself there, not a link to it";
    const message = `path: ${path} leads out of the import directory, or can't be read`;
    return new ApplianceError("FORBIDDEN", message, { details: { ...field, remedy }, cause });
  }
  return cause;
}
