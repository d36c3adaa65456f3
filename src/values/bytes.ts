import { ApplianceError } from "../errors.ts";

const UNITS = ["", "K", "M", "G", "T"];

/** `200G` in bytes: a whole number, and K, M, G or T for powers of 1024. INVALID, naming `field`, for anything else. */
export function parseBytes(text: string, field = "size"): number {
  const [, count = "", unit = ""] = /^(\d{1,15})([KMGT]?)$/.exec(text) ?? [];
  const bytes = Number(count) * 1024 ** UNITS.indexOf(unit);
  if (count !== "" && Number.isSafeInteger(bytes)) return bytes;
  throw new ApplianceError("INVALID", `${field}: "${text}" is not a size`, {
    details: { field, value: text, remedy: "write it like 200G" },
  });
}
