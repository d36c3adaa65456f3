const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `767 MiB`, `2.4 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** `1 lease`, `2 leases`. */
export function formatCount(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

/** A length of time, to two units: `0.4 s`, `34 s`, `2 min 5 s`, `3 h 20 min`, `4 d 2 h`. */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(whole, 60, "min", 1, "s");
  if (whole < 86_400) return pair(whole, 3600, "h", 60, "min");
  return pair(whole, 86_400, "d", 3600, "h");
}

/** How long ago, roughly: `just now`, `3 min ago`, `5 d ago`; `in 40 min` for what is to come. */
export function formatAgo(moment: string, now = Date.now()): string {
  const seconds = (now - Date.parse(moment)) / 1000;
  const text = roughly(Math.abs(seconds));
  if (text === undefined) return "just now";
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

/** Seconds from one moment to another, or to now. */
export function secondsBetween(from: string, to: string | undefined): number {
  return ((to === undefined ? Date.now() : Date.parse(to)) - Date.parse(from)) / 1000;
}

/** Day and time of day where the reader is: `2026-11-20 13:42:05`. */
export function formatMoment(moment: string): string {
  // the one locale whose form is ISO 8601's
  return new Date(moment).toLocaleString("sv-SE");
}

function pair(seconds: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)} ${largeUnit}${rest > 0 ? ` ${rest} ${smallUnit}` : ""}`;
}

function roughly(seconds: number): string | undefined {
  if (seconds < 5) return undefined;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
