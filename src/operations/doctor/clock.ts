import type { BootEntry } from "../../boot/boot-entry.ts";
import type { Check } from "./finding.ts";

/** What clocks that are kept by NTP may differ by. */
const SLACK_MS = 5_000;

/** Whether the clock went back since something was written down: leases, retries and deadlines go by it. */
export const clockCheck: Check = {
  name: "clock",
  run: async ({ appliance: { records, runner, nodes, boots, clock } }) => {
    const now = clock.now();
    const entries = [...records.collection<BootEntry>("bootEntries").values()];
    const moments = [
      ...runner.list().flatMap(({ createdAt, endedAt }) => [createdAt, endedAt ?? 0]),
      ...nodes.list().map(({ createdAt }) => createdAt),
      ...entries.flatMap(({ createdAt, mac }) => [createdAt, boots.current(mac)?.lastAt ?? 0]),
    ];
    const latest = moments.reduce((most, one) => Math.max(most, one), 0);
    const about = { check: "clock", subject: "clock" };
    if (latest <= now + SLACK_MS) return [{ ...about, state: "ok", message: "has not gone back" }];
    const seconds = Math.round((latest - now) / 1000);
    return [
      {
        ...about,
        state: "failed",
        message: `is ${seconds} s behind what was written down at ${new Date(latest).toISOString()}`,
        remedy: "set it (timedatectl) and keep it by NTP; leases last that much longer than told",
      },
    ];
  },
};
