/**
 * Entries of a system event log (IPMI 2.0 32) that tell of a start: by sensor type, as ipmitool words it. BMCs differ in which
 * they write, and many write none for a reset by the OS.
 */
const STARTS: [sensor: RegExp, event: RegExp][] = [
  [/^System Boot Initiated\b/, /./],
  [/^Power Unit\b/, /^(Power off\/down|Power cycle|AC lost)/],
  [/^System ACPI Power State\b/, /^S4\/S5/],
];

/**
 * Seconds from the newest start in the log until now, both by the BMC's own clock, which need not be right: out of
 * `sel list` and `sel time get`. Undefined where none is logged, or the clock was set between the two.
 */
export function secondsSinceStart(list: string, clock: string): number | undefined {
  const now = readMoment(clock.trim());
  const starts = list.split("\n").flatMap((line) => {
    const [, date = "", time = "", sensor = "", event = "", direction = ""] = line
      .split("|")
      .map((cell) => cell.trim());
    const isStart = STARTS.some(([one, what]) => one.test(sensor) && what.test(event)) && direction !== "Deasserted";
    const at = isStart ? readMoment(`${date} ${time}`) : undefined;
    return at && at.isSet === now?.isSet ? [at.seconds] : [];
  });
  const newest = Math.max(...starts);
  return now && starts.length > 0 && now.seconds >= newest ? now.seconds - newest : undefined;
}

/** A moment of a BMC's clock: the calendar's once it was set, or counted from its own start. */
function readMoment(text: string): { isSet: boolean; seconds: number } | undefined {
  const counted = /^Pre-Init\s+(\d+)$/.exec(text);
  if (counted) return { isSet: false, seconds: Number(counted[1]) };
  // past its first day ipmitool tells the day too, of 1970 and on: S+ 70/002 02:10:47
  const sinceStart = /^S\+\s*(?:(\d\d)\/(\d{3}) )?(\d+):(\d\d):(\d\d)$/.exec(text);
  if (sinceStart) {
    const [year = "70", day = "001", ...clock] = sinceStart.slice(1);
    const [hours, minutes, seconds] = clock.map(Number);
    return { isSet: false, seconds: Date.UTC(1900 + Number(year), 0, Number(day), hours, minutes, seconds) / 1000 };
  }
  const match = /^(\d\d)\/(\d\d)\/(\d{4}|\d\d) (\d\d):(\d\d):(\d\d)(?: UTC)?$/.exec(text);
  if (!match) return undefined;
  const [, month, day, year, hours, minutes, seconds] = match.map(Number);
  const century = year! < 100 ? 2000 : 0;
  return { isSet: true, seconds: Date.UTC(year! + century, month! - 1, day, hours, minutes, seconds) / 1000 };
}
