import { ApplianceError } from "../../errors.ts";

/** BUSY: another one holds the lease. */
export function leaseHeld(name: string, holder: string): ApplianceError {
  return new ApplianceError("BUSY", `lease ${name}: appliance ${holder} holds it`, {
    details: {
      field: "lease",
      value: name,
      holder,
      remedy: "wait until it is done; a lease whose holder died runs out",
    },
    retryable: true,
  });
}
