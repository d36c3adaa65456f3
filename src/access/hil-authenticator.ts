import { createHash, createHmac, randomBytes } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { Credentials, ForeignAuthenticator } from "./authenticator.ts";
import type { Caller, Grant } from "./caller.ts";

/** What HIL takes from who logs in. */
export type HilCredentials = { user: string; password: string } | { token: string };

/** HIL as somebody who knows people. */
export type HilLogin = {
  /**
   * Which of these projects of HIL's the person has, as HIL lets them look at each; undefined for whom it does not know.
   * UNAVAILABLE where it can't tell.
   */
  ask(credentials: HilCredentials, projects: readonly string[]): Promise<readonly string[] | undefined>;
  /** Answers what HIL it is, if it could tell people now. UNAVAILABLE. */
  probe(signal: AbortSignal): Promise<string>;
};

/** Who is who by what HIL says. */
export type HilSettings = {
  cacheSeconds: number;
  /** What somebody holds in the projects that HIL lets them have. */
  projectRole: "none" | "viewer" | "member";
  roles: readonly { user: string; grant: Grant }[];
};

type Answer = { projects: readonly string[] | undefined; until: number };

/** Short: whoever is let in at HIL just now wants in here. Failures are counted by who asks all the same. */
const REFUSED_MS = 5_000;
const MOST_KEPT = 1_000;
const PRINTABLE = /^\P{C}{1,255}$/u;

/** Knows the users of HIL, by asking HIL with what they show. Answers are kept a while under keyed digests, no secret is. */
export class HilAuthenticator implements ForeignAuthenticator {
  readonly name = "hil";
  readonly #login: HilLogin;
  readonly #settings: () => HilSettings;
  readonly #projects: () => readonly { name: string; atHil: string }[];
  readonly #isLocalUser: (name: string) => boolean;
  readonly #clock: Clock;
  readonly #key = randomBytes(32);
  readonly #answers = new Map<string, Answer>();
  readonly #asked = new Map<string, Promise<Answer>>();

  constructor(dependencies: {
    login: HilLogin;
    settings: () => HilSettings;
    /** Ingot's projects, and what HIL calls them. */
    projects: () => readonly { name: string; atHil: string }[];
    /** The passwords of these are not shown to HIL. */
    isLocalUser: (name: string) => boolean;
    clock: Clock;
  }) {
    this.#login = dependencies.login;
    this.#settings = dependencies.settings;
    this.#projects = dependencies.projects;
    this.#isLocalUser = dependencies.isLocalUser;
    this.#clock = dependencies.clock;
  }

  judges(credentials: Credentials): boolean {
    if (credentials.scheme === "basic") return !this.#isLocalUser(credentials.user);
    return credentials.scheme === "x-auth-token";
  }

  async authenticate(credentials: Credentials): Promise<Caller | undefined> {
    if (credentials.scheme === "bearer") return undefined;
    if (credentials.scheme === "basic" && !PRINTABLE.test(credentials.user)) return undefined;
    const { projects } = await this.#answerTo(credentials);
    if (!projects) return undefined;
    const { projectRole: role, roles } = this.#settings();
    const byProject: Grant[] = role === "none" ? [] : projects.map((project) => ({ role, project }));
    // HIL does not tell whose a token is
    if (credentials.scheme === "x-auth-token")
      return { name: `hil:token-${mark(credentials.token)}`, grants: byProject };
    const named = roles.filter(({ user }) => user === credentials.user).map(({ grant }) => grant);
    const name = `hil:${credentials.user}`;
    return { name, user: name, grants: [...named, ...byProject] };
  }

  probe(signal: AbortSignal): Promise<string> {
    return this.#login.probe(signal);
  }

  /** What HIL says, or said just now; it is asked once at a time for the same. */
  async #answerTo(credentials: Exclude<Credentials, { scheme: "bearer" }>): Promise<Answer> {
    const key = createHmac("sha256", this.#key).update(JSON.stringify(credentials)).digest("base64");
    const known = this.#answers.get(key);
    if (known && known.until > this.#clock.now()) return known;
    const asked = this.#asked.get(key) ?? this.#ask(key, credentials);
    this.#asked.set(key, asked);
    return asked.finally(() => this.#asked.delete(key));
  }

  async #ask(key: string, credentials: HilCredentials): Promise<Answer> {
    const { projectRole, cacheSeconds } = this.#settings();
    const projects = projectRole === "none" ? [] : this.#projects();
    const had = await this.#login.ask(
      credentials,
      projects.map(({ atHil }) => atHil),
    );
    const answer: Answer = {
      projects: had && projects.filter(({ atHil }) => had.includes(atHil)).map(({ name }) => name),
      until: this.#clock.now() + (had ? cacheSeconds * 1000 : REFUSED_MS),
    };
    this.#answers.delete(key);
    this.#answers.set(key, answer);
    // the oldest go first
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= MOST_KEPT) break;
      this.#answers.delete(oldest);
    }
    return answer;
  }
}

/** Tells one token from another in logs; of the token itself it tells nothing. */
function mark(token: string): string {
  return createHash("sha256").update(token).digest("hex").slice(0, 12);
}
