import type { Clock } from "../clock.ts";
import type { Config } from "../config/schema.ts";
import type { ProjectRegistry } from "../projects/project-registry.ts";
import type { ForeignAuthenticator } from "./authenticator.ts";
import type { Grant } from "./caller.ts";
import { HilAuthenticator, type HilLogin } from "./hil-authenticator.ts";
import { OidcAuthenticator } from "./oidc-authenticator.ts";
import type { UserRegistry } from "./user-registry.ts";

/** The authenticators that the configuration turns on beside `local`. Roles are read anew at each use. */
export function createForeignAuthenticators(parts: {
  config: Config;
  hilLogin: HilLogin;
  users: UserRegistry;
  projects: ProjectRegistry;
  clock: Clock;
}): ForeignAuthenticator[] {
  const { config, hilLogin, users, projects, clock } = parts;
  const make = {
    hil: () =>
      new HilAuthenticator({
        login: hilLogin,
        settings: () => ({
          ...config.api.hil,
          roles: config.api.hil.roles.map(({ user, ...rest }) => ({ user, grant: grantOf(rest) })),
        }),
        projects: () => projects.list().map(({ name }) => ({ name, atHil: config.isolation.projects[name] ?? name })),
        isLocalUser: (name) => users.find(name) !== undefined,
        clock,
      }),
    oidc: () => {
      const { issuer = "", audience = "", roles: _, ...rest } = config.api.oidc;
      const groups = () => config.api.oidc.roles.map(({ group, ...role }) => ({ group, grant: grantOf(role) }));
      return new OidcAuthenticator({ ...rest, issuer, audience, groups }, { clock });
    },
  };
  return config.api.authenticators.map((name) => make[name]());
}

/** The configuration's own checks see to it that a role in a project names it. */
function grantOf({ role, project = "" }: { role: Grant["role"]; project?: string | undefined }): Grant {
  return role === "member" || role === "viewer" ? { role, project } : { role };
}
