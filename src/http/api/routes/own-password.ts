import { z } from "@hono/zod-openapi";
import type { Caller } from "../../../access/caller.ts";
import { isPassword } from "../../../access/password.ts";
import type { TokenRecord } from "../../../access/token.ts";
import { ApplianceError } from "../../../errors.ts";
import type { Api, ApiParts } from "../api.ts";
import { confirmPassword, type Gate } from "../authenticate.ts";
import { describeRoute } from "../route.ts";
import { body, json } from "./answers.ts";

const passwordChange = z
  .strictObject({
    present: z.string(),
    password: z.string(),
    keepTokens: z.boolean().default(false).openapi({ description: "Whether the caller's other own tokens stay good" }),
  })
  .openapi("PasswordChange");

const changePassword = describeRoute(
  "self:write",
  {
    method: "post",
    path: "/v1/self/password",
    request: { body: body(passwordChange) },
    responses: {
      200: json(
        "The caller has another password",
        z
          .object({ revoked: z.array(z.string()).openapi({ description: "Names of tokens" }) })
          .openapi("PasswordChanged"),
      ),
    },
  },
  { forAll: true },
);

/** A person's own password: whoever asks shows the present one, however they were let in. */
export function addOwnPasswordRoute(api: Api, { appliance: { users } }: ApiParts, gate: Gate): void {
  api.openapi(changePassword, async (c) => {
    const { present, password, keepTokens } = c.req.valid("json");
    const { caller } = c.var;
    const user = users.get(personOf(caller));
    const who = { user: user.name, source: c.env.source };
    await confirmPassword(gate, who, () => isPassword(present, user.password));
    if (password === present) {
      throw new ApplianceError("INVALID", "password: it is the present one", {
        details: { field: "password", remedy: "choose another one" },
      });
    }
    const stays = ({ name }: TokenRecord) => keepTokens || caller.name === `token:${name}`;
    const revoked = await users.changeOwnPassword(user.name, { present: user.password, password, stays });
    return c.json({ revoked }, 200);
  });
}

/** The user of this appliance's own that a caller is. */
function personOf({ name, user, authenticator }: Caller): string {
  if (authenticator === "local" && user !== undefined) return user;
  const elsewhere = authenticator === "hil" || authenticator === "oidc";
  throw new ApplianceError("UNSUPPORTED", `${name} has no password here`, {
    details: {
      remedy: elsewhere
        ? "change it where you log in: Ingot does not keep it"
        : "log in as a user; an admin gives one another password by name: ingot user password NAME",
    },
  });
}
