import type { Misfit } from "./cross-checks.ts";

/** A role as the configuration gives it. */
export type RolePlan = { role: string; project?: string | undefined };

/** What is amiss with a role: those in a project name it, those over the appliance name none. */
export function roleMisfits({ role, project }: RolePlan): Misfit[] {
  const isInProject = role === "member" || role === "viewer";
  if (isInProject === (project !== undefined)) return [];
  const message = isInProject ? `a ${role} is so in a project; name it` : `an ${role} is so in all projects; remove it`;
  return [{ path: ["project"], message }];
}

/** What is missing for the authenticators that are turned on. */
export function authenticatorMisfits(
  api: {
    authenticators: readonly ("hil" | "oidc")[];
    oidc: { issuer?: string | undefined; audience?: string | undefined };
  },
  hasHil: boolean,
): Misfit[] {
  const misfits: Misfit[] = [];
  api.authenticators.forEach((name, index) => {
    if (api.authenticators.indexOf(name) === index) return;
    misfits.push({ path: ["authenticators", index], message: `${name} is listed twice; remove one of them` });
  });
  if (api.authenticators.includes("hil") && !hasHil) {
    const message = "hil needs to know where HIL is; set isolation.hil.url, or take hil out";
    misfits.push({ path: ["authenticators"], message });
  }
  if (!api.authenticators.includes("oidc")) return misfits;
  for (const key of ["issuer", "audience"] as const) {
    if (api.oidc[key] !== undefined) continue;
    misfits.push({
      path: ["oidc", key],
      message: `oidc needs it; set api.oidc.${key}, or take oidc out of authenticators`,
    });
  }
  return misfits;
}
