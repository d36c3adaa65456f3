import type { Check } from "./finding.ts";

/** Scheduled snapshots that could not be taken. */
export const scheduleCheck: Check = {
  name: "schedules",
  run: async ({ appliance: { disks } }) => {
    const scheduled = disks.list().filter(({ schedule }) => schedule !== undefined);
    const failing = scheduled.flatMap(({ name, schedule }) =>
      schedule?.failure ? [{ name, message: schedule.failure.message }] : [],
    );
    if (failing.length === 0) {
      const message = scheduled.length === 0 ? "no snapshots are scheduled" : `${scheduled.length} disks, all in time`;
      return [{ check: "schedules", subject: "snapshots", state: "ok", message }];
    }
    return failing.map(({ name, message }) => ({
      check: "schedules",
      subject: name,
      state: "warning",
      message: `its scheduled snapshot was not taken: ${message}`,
      remedy: `mend that; it is tried again by itself. ingot disk schedule ${name} --off ends it`,
    }));
  },
};
