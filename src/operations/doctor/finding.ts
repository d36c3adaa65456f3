import type { Appliance } from "../appliance.ts";

/** What one check found about one thing. A finding that is not ok says what to do. */
export type Finding = {
  check: string;
  /** The thing that was looked at: a file, a port, a network, a node. */
  subject: string;
  state: "ok" | "warning" | "failed";
  message: string;
  remedy?: string;
};

/** What the checks look at. */
export type Patient = { appliance: Appliance; configFile: string };

/** Looks at one part and changes nothing. `signal` is its deadline. */
export type Check = {
  name: string;
  run(patient: Patient, signal: AbortSignal): Promise<Finding[]>;
};
