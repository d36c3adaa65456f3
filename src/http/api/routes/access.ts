import { z } from "@hono/zod-openapi";
import { type Caller, covers, describeGrant, type Grant, holdsEverywhere } from "../../../access/caller.ts";
import type { TokenRecord } from "../../../access/token.ts";
import { noSuchToken } from "../../../access/token-registry.ts";
import { ApplianceError } from "../../../errors.ts";
import type { Appliance } from "../../../operations/appliance.ts";
import { forbidden } from "../admission.ts";
import type { Api, ApiParts } from "../api.ts";
import { exact } from "../fields.ts";
import { describeRoute } from "../route.ts";
import {
  grantSchema,
  selfSchema,
  tokenSchema,
  userSchema,
  viewSelf,
  viewToken,
  viewUser,
} from "../views/access-view.ts";
import { body, json } from "./answers.ts";

const grants = z.array(grantSchema).max(1000);
const newToken = z
  .strictObject({
    name: z.string(),
    grants: grants.optional().openapi({ description: "By default the caller's own; nobody gives more than they have" }),
    expiresInSeconds: z.int().min(1).optional().openapi({ description: "By default it does not expire" }),
  })
  .openapi("NewToken");
const newUser = z
  .strictObject({ name: z.string(), password: z.string(), grants: grants.default([]) })
  .openapi("NewUser");
const userEdit = z.strictObject({ password: z.string().optional(), grants: grants.optional() }).openapi("UserEdit");
const tokenParams = z.object({ token: z.string().openapi({ description: "Name or id" }) });
const userParams = z.object({ user: z.string() });
const FOR_ALL = { forAll: true };

const routes = {
  self: describeRoute(
    "self:read",
    {
      method: "get",
      path: "/v1/self",
      responses: { 200: json("The caller", selfSchema) },
    },
    FOR_ALL,
  ),
  tokens: describeRoute(
    "self:read",
    {
      method: "get",
      path: "/v1/tokens",
      responses: {
        200: json("The caller's own tokens, by name; all of them to who holds access:read", z.array(tokenSchema)),
      },
    },
    FOR_ALL,
  ),
  addToken: describeRoute(
    "self:write",
    {
      method: "post",
      path: "/v1/tokens",
      request: { body: body(newToken) },
      responses: {
        201: json(
          "The token; `secret` opens the API and is told this once",
          tokenSchema.extend({ secret: z.string() }).openapi("TokenWithSecret"),
        ),
      },
    },
    FOR_ALL,
  ),
  removeToken: describeRoute(
    "self:write",
    {
      method: "delete",
      path: "/v1/tokens/{token}",
      request: { params: tokenParams },
      responses: { 204: { description: "Revoked" } },
    },
    FOR_ALL,
  ),
  users: describeRoute("access:read", {
    method: "get",
    path: "/v1/users",
    responses: { 200: json("Who may log in, by name", z.array(userSchema)) },
  }),
  addUser: describeRoute("access:write", {
    method: "post",
    path: "/v1/users",
    request: { body: body(newUser) },
    responses: { 201: json("The user", userSchema) },
  }),
  changeUser: describeRoute("access:write", {
    method: "patch",
    path: "/v1/users/{user}",
    request: { params: userParams, body: body(userEdit) },
    responses: { 200: json("The user, changed", userSchema) },
  }),
  removeUser: describeRoute("access:write", {
    method: "delete",
    path: "/v1/users/{user}",
    request: { params: userParams },
    responses: { 204: { description: "Removed, and their own tokens revoked" } },
  }),
};

/** Who may use the API, and as what. */
export function addAccessRoutes(api: Api, { appliance }: ApiParts): void {
  const { tokens, users } = appliance;
  api.openapi(routes.self, (c) => c.json(viewSelf(c.var.caller), 200));
  api.openapi(routes.tokens, (c) =>
    c.json(
      tokens
        .list()
        .filter((token) => isOwn(c.var.caller, token) || holdsEverywhere(c.var.caller, "access:read"))
        .map(viewToken),
      200,
    ),
  );
  api.openapi(routes.addToken, async (c) => {
    const { name, grants, expiresInSeconds } = c.req.valid("json");
    const { caller } = c.var;
    const request = {
      name,
      ...whose(appliance, caller, grants),
      ...(expiresInSeconds === undefined ? {} : { expiresAt: appliance.clock.now() + expiresInSeconds * 1000 }),
    };
    const { token, secret } = await tokens.add(request, caller.name);
    return c.json({ ...viewToken(token), secret }, 201, { Location: `/v1/tokens/${token.id}` });
  });
  api.openapi(routes.removeToken, async (c) => {
    const { token: name } = c.req.valid("param");
    const token = tokens.get(name);
    if (!isOwn(c.var.caller, token) && !holdsEverywhere(c.var.caller, "access:write")) throw noSuchToken(name);
    await tokens.remove(token.id);
    return c.body(null, 204);
  });
  api.openapi(routes.users, (c) => c.json(users.list().map(viewUser), 200));
  api.openapi(routes.addUser, async (c) => {
    const request = c.req.valid("json");
    checkGrants(appliance, request.grants);
    return c.json(viewUser(await users.add(request, c.var.caller.name)), 201, {
      Location: `/v1/users/${request.name}`,
    });
  });
  api.openapi(routes.changeUser, async (c) => {
    const changes = exact(c.req.valid("json"));
    checkGrants(appliance, changes.grants ?? []);
    return c.json(viewUser(await users.change(c.req.valid("param").user, changes)), 200);
  });
  api.openapi(routes.removeUser, async (c) => {
    await users.remove(c.req.valid("param").user);
    return c.body(null, 204);
  });
}

/**
 * A person who names no roles gets a token of their own, with all that they hold. Who gives roles away gives any; a person
 * gives a token of their own some of theirs; a token makes none.
 */
function whose(appliance: Appliance, caller: Caller, grants: Grant[] | undefined): { grants: Grant[]; user?: string } {
  const givesAny = holdsEverywhere(caller, "access:write");
  const own = caller.isPerson && caller.user !== undefined ? { user: caller.user } : undefined;
  if (grants === undefined && (caller.authenticator === "hil" || caller.authenticator === "oidc")) {
    throw new ApplianceError(
      "FORBIDDEN",
      `${caller.name} is no user of this appliance, and has no tokens of their own`,
      {
        details: { remedy: "show what you log in with each time: INGOT_TOKEN, or INGOT_USER and INGOT_PASSWORD_FILE" },
      },
    );
  }
  if (!givesAny && !own) throw forbidden(caller, "access:write");
  if (own && grants === undefined) return { ...own, grants: [...caller.grants] };
  if (!grants?.length) {
    throw new ApplianceError("INVALID", "grants: say what the token may do", {
      details: { field: "grants", remedy: 'for example [{"role":"member","project":"lab"}]' },
    });
  }
  if (givesAny) {
    checkGrants(appliance, grants);
    return { grants };
  }
  const more = grants.find((grant) => !covers(caller.grants, grant));
  if (!more) return { ...own, grants };
  const what = `${caller.name} can't give away what they do not hold: ${describeGrant(more)}`;
  throw new ApplianceError("FORBIDDEN", what, {
    details: { field: "grants", value: more, remedy: "leave grants out for all that you hold" },
  });
}

function checkGrants({ projects }: Appliance, grants: Grant[]): void {
  for (const grant of grants) if ("project" in grant) projects.get(grant.project);
}

function isOwn({ user }: Caller, token: TokenRecord): boolean {
  return user !== undefined && token.user === user;
}
