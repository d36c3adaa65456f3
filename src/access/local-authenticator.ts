import type { Authenticator, Credentials } from "./authenticator.ts";
import { type Caller, covers } from "./caller.ts";
import { isPassword } from "./password.ts";
import type { TokenRegistry } from "./token-registry.ts";
import type { UserRegistry } from "./user-registry.ts";

/** Knows the tokens and users of this appliance. */
export class LocalAuthenticator implements Authenticator {
  readonly name = "local";
  readonly #tokens: TokenRegistry;
  readonly #users: UserRegistry;

  constructor({ tokens, users }: { tokens: TokenRegistry; users: UserRegistry }) {
    this.#tokens = tokens;
    this.#users = users;
  }

  judges({ scheme }: Credentials): boolean {
    return scheme === "bearer" || scheme === "basic";
  }

  async authenticate(credentials: Credentials): Promise<Caller | undefined> {
    if (credentials.scheme === "bearer") return this.#byToken(credentials.token);
    return credentials.scheme === "basic" ? this.#byPassword(credentials.user, credentials.password) : undefined;
  }

  #byToken(text: string): Caller | undefined {
    const token = this.#tokens.find(text);
    if (!token) return undefined;
    const name = `token:${token.name}`;
    if (token.user === undefined) return { name, grants: token.grants };
    const held = this.#users.find(token.user)?.grants ?? [];
    return { name, grants: token.grants.filter((grant) => covers(held, grant)), user: token.user };
  }

  async #byPassword(name: string, password: string): Promise<Caller | undefined> {
    if (!(await isPassword(password, this.#users.find(name)?.password))) return undefined;
    // as they are now: it took its time
    const user = this.#users.find(name);
    return user && { name: `user:${name}`, grants: user.grants, user: name, isPerson: true };
  }
}
