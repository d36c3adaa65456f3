import { APPLIANCE_ROLES, type ApplianceRole, PROJECT_ROLES, type ProjectRole, type Right } from "./rights.ts";

/** A role, and where it holds: over the whole appliance, or in one project. */
export type Grant = { role: ApplianceRole } | { role: ProjectRole; project: string };

/**
 * Who asks: the name lands in `requestedBy` of what they begin. `user`: the person behind it; `isPerson`: they showed their
 * password, not a token of theirs. `authenticator`: who told so; nobody has to on the unix socket.
 */
export type Caller = {
  name: string;
  grants: readonly Grant[];
  user?: string;
  isPerson?: true;
  authenticator?: "local" | "hil" | "oidc";
};

/** Whether the caller holds a right over the whole appliance. */
export function holdsEverywhere({ grants }: Caller, right: Right): boolean {
  return grants.some((grant) => !("project" in grant) && APPLIANCE_ROLES[grant.role].has(right));
}

/** Whether the caller holds a right in this project. */
export function holdsIn(caller: Caller, right: Right, project: string): boolean {
  if (holdsEverywhere(caller, right)) return true;
  return caller.grants.some(
    (grant) => "project" in grant && grant.project === project && PROJECT_ROLES[grant.role].has(right),
  );
}

/** Whether the caller holds a right anywhere. */
export function holdsSomewhere(caller: Caller, right: Right): boolean {
  if (holdsEverywhere(caller, right)) return true;
  return caller.grants.some((grant) => "project" in grant && PROJECT_ROLES[grant.role].has(right));
}

/** Whether there is this project for the caller. What they do not see looks as if it did not exist. */
export function seesProject({ grants }: Caller, project: string): boolean {
  return grants.some((grant) => !("project" in grant) || grant.project === project);
}

/** Whether whoever holds `grants` holds `grant` too: nobody gives away more than they have. */
export function covers(grants: readonly Grant[], grant: Grant): boolean {
  return grants.some((one) => {
    if ("project" in one) {
      return "project" in grant && one.project === grant.project && (one.role === "member" || grant.role === "viewer");
    }
    return one.role === "admin" || "project" in grant || grant.role === "operator";
  });
}

/** `admin`, or `member of lab`. */
export function describeGrant(grant: Grant): string {
  return "project" in grant ? `${grant.role} of ${grant.project}` : grant.role;
}
