import { describe, expect, it } from "vitest";
import { secondsSinceStart } from "../../../src/drivers/power/sel-restart.ts";

const line = (at: string, sensor: string, event: string, direction = "Asserted") =>
  ` 1f | ${at} | ${sensor} | ${event} | ${direction}`;

describe("the newest start in a system event log", () => {
  const clock = "11/20/2026 17:00:00 UTC";
  const rows: [name: string, list: string[], clock: string, seconds: number | undefined][] = [
    ["an empty log", ["SEL has no entries"], clock, undefined],
    [
      "a boot, by the calendar",
      [line("11/20/2026 | 16:59:30 UTC", "System Boot Initiated #0x01", "Initiated by power up")],
      clock,
      30,
    ],
    [
      "years of two digits and no zone",
      [line("11/20/26 | 16:59:30", "System Boot Initiated #0x01", "Initiated by hard reset")],
      "11/20/26 17:00:00",
      30,
    ],
    [
      "the newest of several",
      [
        line("11/20/2026 | 16:00:00 UTC", "Power Unit #0x01", "Power off/down"),
        line("11/20/2026 | 16:59:59 UTC", "Power Unit #0x01", "AC lost"),
        line("11/20/2026 | 16:30:00 UTC", "System ACPI Power State #0x9f", "S4/S5: soft-off"),
      ],
      clock,
      1,
    ],
    [
      "a clock that was never set",
      [line(" Pre-Init  |0000013676", "System Boot Initiated #0x01", "Initiated by power up")],
      "S+ 03:47:57",
      1,
    ],
    [
      "a clock that was never set, past its first day",
      [line(" Pre-Init  |0000094247", "System Boot Initiated #0x01", "Initiated by power up")],
      "S+ 70/002 02:10:48",
      1,
    ],
    [
      "a clock that was set in between",
      [line(" Pre-Init  |0000013676", "System Boot Initiated #0x01", "Initiated by power up")],
      clock,
      undefined,
    ],
    [
      "a clock that was set back",
      [line("11/20/2026 | 17:30:00 UTC", "System Boot Initiated #0x01", "Initiated by power up")],
      clock,
      undefined,
    ],
    [
      "other events, and the end of one",
      [
        line("11/20/2026 | 16:59:30 UTC", "Temperature #0x30", "Upper Critical going high"),
        line("11/20/2026 | 16:59:30 UTC", "System ACPI Power State #0x9f", "S0/G0: working"),
        line("11/20/2026 | 16:59:30 UTC", "Power Unit #0x01", "Power off/down", "Deasserted"),
      ],
      clock,
      undefined,
    ],
  ];
  it.each(rows)("%s", (_name, list, now, seconds) => {
    expect(secondsSinceStart(`${list.join("\n")}\n`, `${now}\n`)).toBe(seconds);
  });
});
