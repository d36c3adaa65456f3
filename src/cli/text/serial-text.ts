import { printable } from "./printable.ts";

/** What a serial line said, as lines for reading: colours, cursor movements and carriage returns taken out. */
export function serialLines(said: string): string[] {
  const text = said
    // CSI, OSC and the short sequences of ECMA-48
    .replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g, "")
    .replace(/\r+/g, "")
    // a prompt that was wiped out
    .replace(/\x08+(?: +\x08+)*/g, "")
    .replaceAll("\t", "    ")
    .replaceAll("\0", "");
  const lines = printable(text).split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** The end of bytes that holds so many lines, the last of them whole or not. */
export function lastLines(bytes: Buffer, count: number): Buffer {
  let at = bytes.at(-1) === 0x0a ? bytes.length - 1 : bytes.length;
  for (let lines = 0; lines < count && at >= 0; lines++) at = at === 0 ? -1 : bytes.lastIndexOf(0x0a, at - 1);
  return bytes.subarray(at + 1);
}
