import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Check, Finding } from "./finding.ts";

const REMEDY = "gather the loaders anew (node boot-assets/gather.ts), or correct loaders in the configuration";

/** Whether the loaders of each firmware class are there to be fetched. */
export const assetsCheck: Check = {
  name: "boot-assets",
  run: async ({ appliance: { config } }) => {
    const classes = Object.entries(config.loaders).flatMap(([firmware, files]) =>
      (files ?? []).map((file) => ({ firmware, file })),
    );
    if (classes.length === 0) {
      const message = "no loader is configured: firmware without a capable iPXE of its own is refused";
      return [{ check: "boot-assets", subject: "loaders", state: "warning", message, remedy: REMEDY }];
    }
    return Promise.all(classes.map(({ firmware, file }) => lookAt(firmware, join(config.assetsDirectory, file))));
  },
};

async function lookAt(firmware: string, path: string): Promise<Finding> {
  const about = { check: "boot-assets", subject: firmware };
  try {
    const file = await stat(path);
    await access(path, constants.R_OK);
    if (file.isFile() && file.size > 0) return { ...about, state: "ok", message: `${path}, ${file.size} bytes` };
    return { ...about, state: "failed", message: `${path} is no file with content`, remedy: REMEDY };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { ...about, state: "failed", message: `${path} can't be read (${code})`, remedy: REMEDY };
  }
}
