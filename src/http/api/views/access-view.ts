import { z } from "@hono/zod-openapi";
import type { Caller, Grant } from "../../../access/caller.ts";
import type { TokenRecord } from "../../../access/token.ts";
import type { UserRecord } from "../../../access/user.ts";
import { moment, momentIfAny, momentSchema } from "./text.ts";

/** A role, over the whole appliance or in one project. */
export const grantSchema = z
  .union([
    z.strictObject({ role: z.enum(["admin", "operator"]) }),
    z.strictObject({ role: z.enum(["member", "viewer"]), project: z.string() }),
  ])
  .openapi("Grant");

/** A token as the API shows it: never what opens the API. */
export const tokenSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    user: z.string().optional().openapi({ description: "Whose own it is: it holds no more than they do" }),
    grants: z.array(grantSchema),
    createdAt: momentSchema,
    expiresAt: momentSchema.optional(),
    requestedBy: z.string(),
  })
  .openapi("Token");

/** Somebody who may log in, without the password. */
export const userSchema = z
  .object({ name: z.string(), grants: z.array(grantSchema), createdAt: momentSchema, requestedBy: z.string() })
  .openapi("User");

/** Who asks, and as what. */
export const selfSchema = z
  .object({
    name: z.string(),
    user: z.string().optional(),
    authenticator: z
      .enum(["socket", "local", "hil", "oidc"])
      .openapi({ description: "Who told who that is; `socket`: the unix socket's file mode lets them in" }),
    grants: z.array(grantSchema),
  })
  .openapi("Self");

/** A token as the API shows it. */
export function viewToken(token: TokenRecord): z.infer<typeof tokenSchema> {
  const { id, name, user, grants, requestedBy } = token;
  const [createdAt, expiresAt] = [moment(token.createdAt), momentIfAny(token.expiresAt)];
  return { id, name, user, grants: [...grants], createdAt, expiresAt, requestedBy };
}

/** A user as the API shows one. */
export function viewUser({ name, grants, createdAt, requestedBy }: UserRecord): z.infer<typeof userSchema> {
  return { name, grants: [...grants], createdAt: moment(createdAt), requestedBy };
}

/** The caller, as the API tells them. */
export function viewSelf({ name, user, authenticator, grants }: Caller): z.infer<typeof selfSchema> {
  return { name, user, authenticator: authenticator ?? "socket", grants: [...grants] as Grant[] };
}
