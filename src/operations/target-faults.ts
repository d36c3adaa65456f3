import { isDeepStrictEqual } from "node:util";
import type { TargetSpec, TargetState } from "../drivers/targets/target-server.ts";

/** In what a target that is served differs from what it should be, in words for people; empty when it fits. */
export function targetFaults(state: TargetState | undefined, { iqn, backing, openTo, chap }: TargetSpec): string[] {
  if (!state) return [`there is no target ${iqn}`];
  const accounts = [chap.user, ...(chap.reverse ? [chap.reverse.user] : [])].sort();
  return [
    ...(state.path === backing.path ? [] : [`LUN 1 is ${state.path ?? "missing"}, not ${backing.path}`]),
    ...(state.writeThrough ? [] : ["it acknowledges writes that are not on disk"]),
    ...(isDeepStrictEqual(state.openTo, [openTo])
      ? []
      : [`it is open to ${state.openTo.join(", ") || "nobody"}, not to ${openTo} alone`]),
    ...(isDeepStrictEqual([...state.accounts].sort(), accounts) ? [] : ["its CHAP account is not the node's"]),
  ];
}
