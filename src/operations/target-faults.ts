import { isDeepStrictEqual } from "node:util";
import type { TargetSpec, TargetState, TargetUnit } from "../drivers/targets/target-server.ts";

/** In what a target that is served differs from what it should be, in words for people; empty when it fits. */
export function targetFaults(state: TargetState | undefined, { iqn, units, openTo, chap }: TargetSpec): string[] {
  if (!state) return [`there is no target ${iqn}`];
  const accounts = [chap.user, ...(chap.reverse ? [chap.reverse.user] : [])].sort();
  return [
    ...units.flatMap((unit) => unitFaults(state, unit)),
    ...state.units
      .filter(({ lun }) => !units.some((unit) => unit.lun === lun))
      .map(({ lun, path }) => `LUN ${lun} is ${path}, which it should not have`),
    ...(state.writeThrough ? [] : ["it acknowledges writes that are not on disk"]),
    ...(isDeepStrictEqual(state.openTo, [openTo])
      ? []
      : [`it is open to ${state.openTo.join(", ") || "nobody"}, not to ${openTo} alone`]),
    ...(isDeepStrictEqual([...state.accounts].sort(), accounts) ? [] : ["its CHAP account is not the node's"]),
  ];
}

function unitFaults(state: TargetState, { lun, backing, readOnly }: TargetUnit): string[] {
  const served = state.units.find((one) => one.lun === lun);
  if (served?.path !== backing.path) return [`LUN ${lun} is ${served?.path ?? "missing"}, not ${backing.path}`];
  return served.readOnly === readOnly ? [] : [`LUN ${lun} ${readOnly ? "takes" : "refuses"} writes`];
}
