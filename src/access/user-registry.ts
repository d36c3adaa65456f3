import type { Clock } from "../clock.ts";
import { ApplianceError } from "../errors.ts";
import type { Change, Collection, Records } from "../store/records.ts";
import { byName, parseName } from "../values/name.ts";
import type { Grant } from "./caller.ts";
import { digestPassword, type PasswordDigest } from "./password.ts";
import type { TokenRecord } from "./token.ts";
import type { TokenRegistry } from "./token-registry.ts";
import type { UserRecord } from "./user.ts";

const USERS = "users";

/** The people who may log in. */
export class UserRegistry {
  readonly #records: Records;
  readonly #users: Collection<UserRecord>;
  readonly #tokens: TokenRegistry;
  readonly #clock: Clock;

  constructor(dependencies: { records: Records; tokens: TokenRegistry; clock: Clock }) {
    this.#records = dependencies.records;
    this.#users = this.#records.collection(USERS);
    this.#tokens = dependencies.tokens;
    this.#clock = dependencies.clock;
  }

  /** All users by name. */
  list(): UserRecord[] {
    return [...this.#users.values()].sort(byName);
  }

  find(name: string): UserRecord | undefined {
    return this.#users.get(name);
  }

  /** The user of this name; NOT_FOUND otherwise. */
  get(name: string): UserRecord {
    const user = this.#users.get(name);
    if (user) return user;
    throw new ApplianceError("NOT_FOUND", `there is no user "${name}"`, {
      details: { field: "user", value: name, remedy: "ingot user list shows those that there are" },
    });
  }

  /** Lets somebody log in. EXISTS for a name in use; INVALID for a name that can't be one, or a weak password. */
  async add(request: { name: string; password: string; grants: Grant[] }, requestedBy: string): Promise<UserRecord> {
    const name = parseName(request.name);
    const password = await digestPassword(request.password);
    if (this.#users.get(name)) {
      throw new ApplianceError("EXISTS", `there is a user "${name}" already`, {
        details: { field: "name", value: name, remedy: "choose another name, or change that user" },
      });
    }
    const user: UserRecord = { name, grants: request.grants, password, createdAt: this.#clock.now(), requestedBy };
    await this.#commit(user);
    return user;
  }

  /**
   * Changes a user's roles or password. Tokens that they made for themselves hold no more than they do now, and go with a password that
   * somebody else sets: it may be in wrong hands. NOT_FOUND; INVALID.
   */
  async change(name: string, changes: { password?: string; grants?: Grant[] }): Promise<UserRecord> {
    this.get(name);
    const password = changes.password === undefined ? undefined : await digestPassword(changes.password);
    const changed: UserRecord = {
      ...this.get(name),
      ...(changes.grants ? { grants: changes.grants } : {}),
      ...(password ? { password } : {}),
    };
    const revoked = password ? this.#tokens.withoutUser(name) : [];
    await this.#records.commit([{ collection: USERS, key: name, value: changed }, ...revoked]);
    return changed;
  }

  /**
   * Changes the password of somebody who has shown that they know it (`present`), revokes their own tokens but for those that
   * are to stay, and answers the names of those that went. INVALID; CONFLICT when it was changed meanwhile.
   */
  async changeOwnPassword(
    name: string,
    { present, password, stays }: { present: PasswordDigest; password: string; stays: (token: TokenRecord) => boolean },
  ): Promise<string[]> {
    const digest = await digestPassword(password);
    const user = this.get(name);
    if (user.password.digest !== present.digest) {
      throw new ApplianceError("CONFLICT", `the password of ${name} was changed meanwhile`, {
        details: { field: "present", remedy: "log in with the one that holds now" },
      });
    }
    const revoked = this.#tokens.withoutUser(name, stays);
    const names = revoked.map(({ key }) => this.#tokens.get(key).name);
    const changed: UserRecord = { ...user, password: digest };
    await this.#records.commit([{ collection: USERS, key: name, value: changed }, ...revoked]);
    return names;
  }

  /** Removes a user, and the tokens that they made for themselves. NOT_FOUND. */
  async remove(name: string): Promise<void> {
    this.get(name);
    await this.#records.commit([{ collection: USERS, key: name, value: null }, ...this.#tokens.withoutUser(name)]);
  }

  /** What takes a project out of what users hold. */
  withoutProject(project: string): Change[] {
    return this.list().flatMap((user) => {
      const grants = user.grants.filter((grant) => !("project" in grant && grant.project === project));
      return grants.length === user.grants.length
        ? []
        : [{ collection: USERS, key: user.name, value: { ...user, grants } }];
    });
  }

  #commit(user: UserRecord): Promise<void> {
    return this.#records.commit([{ collection: USERS, key: user.name, value: user }]);
  }
}
