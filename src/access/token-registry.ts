import type { Clock } from "../clock.ts";
import { ApplianceError } from "../errors.ts";
import type { Change, Collection, Records } from "../store/records.ts";
import { newId } from "../values/id.ts";
import { byName, parseName } from "../values/name.ts";
import type { Grant } from "./caller.ts";
import { newSecret, opens, type TokenRecord, tokenId } from "./token.ts";

const TOKENS = "tokens";

export type NewToken = {
  name: string;
  grants: Grant[];
  /** The person who makes it for themselves. */
  user?: string;
  expiresAt?: number;
};

/** The tokens that there are. */
export class TokenRegistry {
  readonly #records: Records;
  readonly #tokens: Collection<TokenRecord>;
  readonly #clock: Clock;

  constructor({ records, clock }: { records: Records; clock: Clock }) {
    this.#records = records;
    this.#tokens = records.collection(TOKENS);
    this.#clock = clock;
  }

  /** All tokens by name, those that have expired too. */
  list(): TokenRecord[] {
    return [...this.#tokens.values()].sort(byName);
  }

  /** The token of this name or id; NOT_FOUND otherwise. */
  get(nameOrId: string): TokenRecord {
    const token = this.#tokens.get(nameOrId) ?? this.list().find(({ name }) => name === nameOrId);
    if (token) return token;
    throw noSuchToken(nameOrId);
  }

  /** Makes a token; `secret` is what opens the API, told this once. EXISTS for a name in use; INVALID. */
  async add(request: NewToken, requestedBy: string): Promise<{ token: TokenRecord; secret: string }> {
    const name = parseName(request.name);
    const now = this.#clock.now();
    if (this.list().some((one) => one.name === name)) {
      throw new ApplianceError("EXISTS", `there is a token "${name}" already`, {
        details: { field: "name", value: name, remedy: "choose another name, or revoke that token first" },
      });
    }
    if (request.expiresAt !== undefined && request.expiresAt <= now) {
      throw new ApplianceError("INVALID", "expiresAt: that is over already", {
        details: { field: "expiresAt", value: new Date(request.expiresAt).toISOString(), remedy: "name a later time" },
      });
    }
    const id = newId("tok");
    const { text, digest } = newSecret(id);
    const token: TokenRecord = { id, ...request, name, digest, createdAt: now, requestedBy };
    await this.#records.commit([{ collection: TOKENS, key: id, value: token }]);
    return { token, secret: text };
  }

  /** The token that this text opens the API in the name of; undefined for one that is wrong, revoked or expired. */
  find(text: string): TokenRecord | undefined {
    const token = this.#tokens.get(tokenId(text) ?? "");
    if (!token || !opens(text, token)) return undefined;
    return token.expiresAt === undefined || token.expiresAt > this.#clock.now() ? token : undefined;
  }

  /** Revokes a token: it opens nothing from then on. NOT_FOUND. */
  async remove(nameOrId: string): Promise<void> {
    await this.#records.commit([{ collection: TOKENS, key: this.get(nameOrId).id, value: null }]);
  }

  /** What revokes the tokens of a person, but for those that are to stay. */
  withoutUser(user: string, stays: (token: TokenRecord) => boolean = () => false): Change[] {
    return this.list()
      .filter((one) => one.user === user && !stays(one))
      .map(({ id }) => ({ collection: TOKENS, key: id, value: null }));
  }

  /** What takes a project out of all tokens: those that hold nothing else go. A later project of that name is another one. */
  withoutProject(project: string): Change[] {
    return this.list().flatMap((token) => {
      const grants = token.grants.filter((grant) => !("project" in grant && grant.project === project));
      if (grants.length === token.grants.length) return [];
      return [{ collection: TOKENS, key: token.id, value: grants.length === 0 ? null : { ...token, grants } }];
    });
  }
}

/** NOT_FOUND, in the words for a token that is nowhere. */
export function noSuchToken(nameOrId: string): ApplianceError {
  return new ApplianceError("NOT_FOUND", `there is no token "${nameOrId}"`, {
    details: { field: "token", value: nameOrId, remedy: "ingot token list shows those that there are" },
  });
}
