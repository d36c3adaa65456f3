import { toApplianceError } from "../../errors.ts";
import type { Check, Finding } from "./finding.ts";

const PATIENCE_MS = 8_000;

/** Whether those who tell callers of the API, beside the appliance itself, can be asked. */
export const authenticatorCheck: Check = {
  name: "authenticators",
  run: ({ appliance }, signal) =>
    Promise.all(
      appliance.foreignAuthenticators.map(async (one): Promise<Finding> => {
        const about = { check: "authenticators", subject: one.name };
        const deadline = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
        try {
          return { ...about, state: "ok", message: await one.probe(deadline) };
        } catch (error) {
          const { message, details } = toApplianceError(error);
          const remedy = details.remedy ?? "look at api.authenticators in the configuration";
          return { ...about, state: "failed", message, remedy };
        }
      }),
    ),
};
