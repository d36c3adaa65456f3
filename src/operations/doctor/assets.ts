import type { FirmwareClass } from "../../boot/boot-client.ts";
import { toApplianceError } from "../../errors.ts";
import { openConfined } from "../../net/confined-file.ts";
import type { Check, Finding } from "./finding.ts";
import { HEAD_BYTES, loaderFault } from "./loader-format.ts";

const REMEDY = "gather the loaders anew (node boot-assets/gather.ts), or correct loaders in the configuration";

/** Whether the loaders of each firmware class are there to be fetched, and are programs for it. */
export const assetsCheck: Check = {
  name: "boot-assets",
  run: async ({ appliance: { config } }) => {
    const classes = Object.entries(config.loaders).flatMap(([firmware, files]) =>
      (files ?? []).map((file) => ({ firmware: firmware as FirmwareClass, file })),
    );
    if (classes.length === 0) {
      const message = "no loader is configured: firmware without a capable iPXE of its own is refused";
      return [{ check: "boot-assets", subject: "loaders", state: "warning", message, remedy: REMEDY }];
    }
    return Promise.all(classes.map(({ firmware, file }) => lookAt(firmware, config.assetsDirectory, file)));
  },
};

async function lookAt(firmware: FirmwareClass, root: string, name: string): Promise<Finding> {
  const about = { check: "boot-assets", subject: `${firmware} ${name}` };
  try {
    // as the servers open it: a link that leads out, for one, is there and yet not served
    const { handle, stats } = await openConfined(root, name);
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
      const sizeBytes = Number(stats.size);
      const fault = loaderFault(firmware, buffer.subarray(0, bytesRead), sizeBytes);
      if (fault) return { ...about, state: "failed", message: fault, remedy: REMEDY };
      return { ...about, state: "ok", message: `${sizeBytes} bytes` };
    } finally {
      await handle.close();
    }
  } catch (error) {
    const { message } = toApplianceError(error);
    return { ...about, state: "failed", message: `can't be read below ${root}: ${message}`, remedy: REMEDY };
  }
}
