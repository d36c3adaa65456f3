import type { Boot } from "../answers.ts";
import { formatBytes, formatDuration, formatMoment } from "./quantity.ts";
import { summarizeStall } from "./stall.ts";
import { shorten } from "./table.ts";

const STAGE_TEXT: Record<string, string> = {
  "power-on": "power on",
  "dhcp-firmware": "DHCP, firmware",
  "boot-file": "boot file",
  "dhcp-ipxe": "DHCP, iPXE",
  script: "script",
  "iscsi-login-firmware": "iSCSI login, iPXE",
  "first-read": "first read",
  "iscsi-login-os": "iSCSI login, OS",
  "dhcp-os": "DHCP, OS",
  ready: "OS ready",
};
const NAME_WIDTH = 18;
const TIME_WIDTH = 9;
const BAR_WIDTH = 24;

type Stage = Boot["stages"][number];

/** A picture of one boot: a line per stage, its bar the time that passed since the stage before. */
export function drawTimeline(boot: Boot, width: number): string {
  const stages = boot.stages.toSorted((one, other) => one.sinceStartSeconds - other.sinceStartSeconds);
  const whole = stages.at(-1)?.sinceStartSeconds ?? 0;
  const lines = stages.map((stage, index) => {
    const from = stages[index - 1]?.sinceStartSeconds ?? 0;
    const name = (STAGE_TEXT[stage.stage] ?? stage.stage).padEnd(NAME_WIDTH);
    const time = formatDuration(stage.sinceStartSeconds).padStart(TIME_WIDTH);
    const head = `  ${name}${time}  ${drawBar(from, stage.sinceStartSeconds, whole)}  `;
    return head.trimEnd() === head ? head : head + shorten(describe(stage), width - head.length);
  });
  const refusals = boot.refusals.map(({ reason, times }) =>
    shorten(`  refused: ${reason}${times > 1 ? ` (${times} times)` : ""}`, width),
  );
  const why = stages
    .flatMap((stage) => (stage.why === undefined ? [] : [`  ${stage.file}: ${stage.why}`]))
    .slice(0, 1)
    .map((line) => shorten(line, width));
  const stall = boot.stall ? [shorten(`  stalled: ${summarizeStall(boot.stall)}`, width)] : [];
  return [title(boot, stages), ...[...lines, ...why, ...refusals, ...stall].map((line) => line.trimEnd())].join("\n");
}

function title({ startedAt, firmware, network }: Boot, stages: readonly Stage[]): string {
  const last = stages.at(-1);
  const end = last
    ? `${STAGE_TEXT[last.stage] ?? last.stage} after ${formatDuration(last.sinceStartSeconds)}`
    : "nothing yet";
  const where = network === undefined ? "" : ` on ${network}`;
  return `${formatMoment(startedAt)}${where}${firmware ? `, ${firmware}` : ""}: ${end}`;
}

function drawBar(from: number, to: number, whole: number): string {
  if (whole === 0) return "▏".padEnd(BAR_WIDTH);
  const column = (seconds: number) => Math.round((seconds / whole) * BAR_WIDTH);
  const begin = Math.min(column(from), BAR_WIDTH - 1);
  // what took no visible time is still seen
  const length = column(to) - begin;
  return (" ".repeat(begin) + (length > 0 ? "█".repeat(length) : "▏")).padEnd(BAR_WIDTH);
}

function describe({ file, bytes, transferSeconds, retransmissions, address, decision }: Stage): string {
  const amount = bytes === undefined ? undefined : formatBytes(bytes);
  const took = transferSeconds === undefined ? undefined : `in ${formatDuration(transferSeconds)}`;
  const again = retransmissions ? `${retransmissions} resent` : undefined;
  const transfer = [amount, took].filter(Boolean).join(" ") || undefined;
  return [file ?? address, transfer, again, file ? undefined : decision].filter(Boolean).join(", ");
}
