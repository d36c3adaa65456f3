import { listSchedules } from "../scheduled-snapshots.ts";
import type { Check } from "./finding.ts";

/** Scheduled snapshots that could not be taken. */
export const scheduleCheck: Check = {
  name: "schedules",
  run: async ({ appliance }) => {
    const { disks, failures } = listSchedules(appliance);
    if (failures.length === 0) {
      const message = disks === 0 ? "no snapshots are scheduled" : `${disks} disks, all in time`;
      return [{ check: "schedules", subject: "snapshots", state: "ok", message }];
    }
    return failures.map(({ disk, message }) => ({
      check: "schedules",
      subject: disk,
      state: "warning",
      message: `its scheduled snapshot was not taken: ${message}`,
      remedy: `mend that; it is tried again by itself. ingot disk schedule ${disk} --off ends it`,
    }));
  },
};
