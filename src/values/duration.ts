import { ApplianceError } from "../errors.ts";

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of a length of time as people write it: `30m`, `6h`, `90d`. INVALID otherwise. */
export function parseDuration(text: string, field: string): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * SECONDS[unit as keyof typeof SECONDS];
  if (seconds > 0) return seconds;
  throw new ApplianceError("INVALID", `${field}: "${text}" is no length of time`, {
    details: { field, value: text, remedy: "write it like 30m, 6h or 1d" },
  });
}
