import { listStalls } from "../stalls.ts";
import type { Check, Finding } from "./finding.ts";

/** Nodes whose boot stands still, and what to look at first. */
export const bootCheck: Check = {
  name: "boots",
  run: async ({ appliance }) => {
    const stalls = listStalls(appliance);
    if (stalls.length === 0) return [{ check: "boots", subject: "boots", state: "ok", message: "none stands still" }];
    return stalls.map(({ nodeName, stall: { symptom, causes } }): Finding => {
      const [first, ...others] = causes;
      const more = others.length > 0 ? `; ingot node show ${nodeName} has more` : "";
      return {
        check: "boots",
        subject: nodeName,
        state: "warning",
        message: first && symptom !== `refused: ${first.cause}` ? `${symptom}: ${first.cause}?` : symptom,
        remedy: `${first?.remedy ?? "look at its console"}${more}`,
      };
    });
  },
};
