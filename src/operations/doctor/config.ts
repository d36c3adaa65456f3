import { isDeepStrictEqual } from "node:util";
import { loadConfig } from "../../config/load.ts";
import { isApplianceError } from "../../errors.ts";
import type { Check } from "./finding.ts";

/** Whether the file would be taken at the next start, and is what is in force now. */
export const configCheck: Check = {
  name: "config",
  run: async ({ appliance, configFile }) => {
    const about = { check: "config", subject: configFile };
    try {
      const written = await loadConfig(configFile);
      if (isDeepStrictEqual(written, appliance.config))
        return [{ ...about, state: "ok", message: "good, and in force" }];
      return [
        {
          ...about,
          state: "warning",
          message: "was changed since the start: what it says is not all in force",
          remedy: "systemctl restart ingot (running nodes do not notice)",
        },
      ];
    } catch (error) {
      if (!isApplianceError(error, "CONFIG_INVALID")) throw error;
      const remedy = `the next start would fail; mend it, then ingotd --check-config ${configFile}`;
      return [{ ...about, state: "failed", message: error.message, remedy }];
    }
  },
};
