import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { ApplianceError } from "../../errors.ts";
import { parseDuration } from "../../values/duration.ts";
import type { Grant, Self, Token, TokenWithSecret, User } from "../answers.ts";
import { ApiClient, findUrl } from "../api-client.ts";
import { choice, examples, type Open } from "../command.ts";
import { path, type Session } from "../session.ts";
import { formatAgo } from "../text/quantity.ts";
import type { Column } from "../text/table.ts";

const ROLES = ["admin", "operator", "member", "viewer"];
const ROLE = "what it may do: everything; everything but settings; work in --project; look at it";

type RoleOption = { role: "admin" | "operator" | "member" | "viewer" };
type PasswordOption = { passwordFile?: string };
type OwnPasswordOptions = PasswordOption & { presentFile?: string; keepTokens?: boolean };

/** `ingot token …`, `ingot user …`, `ingot login`, `ingot whoami` */
export function addAccessCommands(program: Command, open: Open): void {
  addTokenCommands(program.command("token").description("what opens the API to programs"), open);
  addUserCommands(program.command("user").description("who may log in"), open);

  program
    .command("whoami")
    .description("who you are for the appliance, and what you may do")
    .addHelpText("after", examples("ingot whoami", "ingot --url https://rack1 --token-file ~/.ingot-token whoami"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      const self = await session.api.get<Self>("/v1/self");
      session.answer(
        self,
        () => `${self.name}: ${formatGrants(self.grants) || "no role"} (known by ${self.authenticator})\n`,
      );
    });

  program
    .command("login")
    .description("get a token of your own for --url, with your password")
    .requiredOption("--user <name>", "who you are")
    .requiredOption("--save <file>", "where the token is written, for --token-file; mode 0600")
    .option("--password-file <file>", "do not ask for the password; - reads standard input")
    .option("--expires <time>", "how long the token is good for", "12h")
    .addHelpText("after", examples("ingot --url https://rack1 login --user ada --save ~/.ingot-token"))
    .action(async (options: { user: string; save: string; expires: string } & PasswordOption, command: Command) => {
      const session = open(command);
      const { url } = command.optsWithGlobals<{ url?: string }>();
      const expiresInSeconds = parseDuration(options.expires, "--expires");
      const password = await askPassword(session, options, "Password");
      const api = new ApiClient({ url: findUrl(url), user: options.user, password });
      const name = `${options.user}-${Date.now().toString(36)}`;
      const token = await api.post<TokenWithSecret>("/v1/tokens", { name, expiresInSeconds });
      await writeFile(options.save, `${token.secret}\n`, { mode: 0o600 });
      const { secret: _, ...shown } = token;
      session.answer(shown, () => `token ${name} is in ${options.save}: ${formatGrants(token.grants)}\n`);
    });
}

function addTokenCommands(token: Command, open: Open): void {
  token
    .command("add <name>")
    .description("make a token; it is shown this once")
    .addOption(choice("--role <role>", ROLE, ROLES).makeOptionMandatory())
    .option("--expires <time>", "how long it is good for, as 12h or 90d; without an end by default")
    .addHelpText("after", examples("ingot --project lab token add ci --role member --expires 90d > ci-token"))
    .action(async (name: string, { role, expires }: RoleOption & { expires?: string }, command: Command) => {
      const session = open(command);
      const made = await session.api.post<TokenWithSecret>("/v1/tokens", {
        name,
        grants: [grantOf(session, role)],
        ...(expires === undefined ? {} : { expiresInSeconds: parseDuration(expires, "--expires") }),
      });
      session.note(`token ${made.name}, ${formatGrants(made.grants)}; keep it: it is not shown again`);
      session.answer(made, () => `${made.secret}\n`);
    });

  token
    .command("list")
    .description("the tokens that there are")
    .addHelpText("after", examples("ingot token list"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      session.answerTable(await session.api.get<Token[]>("/v1/tokens"), TOKENS, "no tokens");
    });

  token
    .command("revoke <name>")
    .description("shut the API to a token")
    .addHelpText("after", examples("ingot token revoke ci"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.api.delete(path("tokens", name));
      session.answer({}, () => `token ${name} is revoked\n`);
    });
}

function addUserCommands(user: Command, open: Open): void {
  user
    .command("add <name>")
    .description("let somebody log in with a password")
    .addOption(choice("--role <role>", ROLE, ROLES))
    .option("--password-file <file>", "do not ask for the password; - reads standard input")
    .addHelpText("after", examples("ingot --project lab user add ada --role member"))
    .action(async (name: string, options: Partial<RoleOption> & PasswordOption, command: Command) => {
      const session = open(command);
      const password = await askPassword(session, options, `Password for ${name}`);
      const grants = options.role === undefined ? [] : [grantOf(session, options.role)];
      const added = await session.api.post<User>("/v1/users", { name, password, grants });
      session.answer(added, () => `user ${name} may log in: ${formatGrants(added.grants) || "no role yet"}\n`);
    });

  user
    .command("list")
    .description("who may log in")
    .addHelpText("after", examples("ingot user list"))
    .action(async (_: object, command: Command) => {
      const session = open(command);
      session.answerTable(await session.api.get<User[]>("/v1/users"), USERS, "no users");
    });

  for (const [verb, description, change] of [
    ["grant", "give somebody a role", (held: Grant[], role: Grant) => [...without(held, role), role]],
    ["withdraw", "take a role from somebody", without],
  ] as const) {
    user
      .command(`${verb} <name>`)
      .description(description)
      .addOption(choice("--role <role>", ROLE, ROLES).makeOptionMandatory())
      .addHelpText("after", examples(`ingot --project lab user ${verb} ada --role viewer`))
      .action(async (name: string, { role }: RoleOption, command: Command) => {
        const session = open(command);
        const users = await session.api.get<User[]>("/v1/users");
        const held = users.find((one) => one.name === name)?.grants ?? [];
        const grants = change(held, grantOf(session, role));
        const changed = await session.api.patch<User>(path("users", name), { grants });
        session.answer(changed, () => `user ${name}: ${formatGrants(changed.grants) || "no role"}\n`);
      });
  }

  user
    .command("password [name]")
    .alias("passwd")
    .description("give somebody another password; without a name, yourself")
    .option("--password-file <file>", "do not ask for it; - reads standard input")
    .option("--present-file <file>", "your own: do not ask for the present one")
    .option("--keep-tokens", "your own: do not revoke your other tokens")
    .addHelpText(
      "after",
      examples("ingot user password ada", "ingot --url https://rack1 --token-file ~/.ingot-token user password"),
    )
    .action(async (name: string | undefined, options: OwnPasswordOptions, command: Command) => {
      const session = open(command);
      if (name === undefined) return changeOwnPassword(session, options);
      const password = await askPassword(session, options, `New password for ${name}`);
      const changed = await session.api.patch<User>(path("users", name), { password });
      session.answer(changed, () => `user ${name} has another password\n`);
    });

  user
    .command("rm <name>")
    .description("let somebody log in no more, and revoke their own tokens")
    .option("-y, --yes", "do not ask")
    .addHelpText("after", examples("ingot user rm ada"))
    .action(async (name: string, _: object, command: Command) => {
      const session = open(command);
      await session.confirm(`Remove user ${name}, and their tokens?`);
      await session.api.delete(path("users", name));
      session.answer({}, () => `user ${name} is removed\n`);
    });
}

const TOKENS: Column<Token>[] = [
  { title: "TOKEN", show: ({ name }) => name, cut: "end" },
  { title: "MAY", show: ({ grants }) => formatGrants(grants), cut: "end" },
  { title: "OF", show: ({ user }) => user ?? "" },
  { title: "MADE", show: ({ createdAt }) => formatAgo(createdAt) },
  { title: "EXPIRES", show: ({ expiresAt }) => (expiresAt === undefined ? "never" : formatAgo(expiresAt)) },
];

const USERS: Column<User>[] = [
  { title: "USER", show: ({ name }) => name, cut: "end" },
  { title: "MAY", show: ({ grants }) => formatGrants(grants), cut: "end" },
  { title: "MADE", show: ({ createdAt }) => formatAgo(createdAt) },
];

/** `admin`, or `member of lab, viewer of dev`. */
function formatGrants(grants: Grant[]): string {
  return grants.map(({ role, project }) => (project === undefined ? role : `${role} of ${project}`)).join(", ");
}

/** Member and viewer are so of the session's project. */
function grantOf({ project }: Session, role: RoleOption["role"]): Grant {
  return role === "member" || role === "viewer" ? { role, project } : { role };
}

/** There is one role per project, and one over the appliance. */
function without(held: readonly Grant[], { project }: Grant): Grant[] {
  return held.filter((one) => one.project !== project);
}

async function changeOwnPassword(session: Session, options: OwnPasswordOptions): Promise<void> {
  const { presentFile, keepTokens = false } = options;
  const file = presentFile === undefined ? {} : { passwordFile: presentFile };
  const present = await askPassword(session, file, "Present password", "--present-file");
  const password = await askPassword(session, options, "New password");
  const changed = await session.api.post<{ revoked: string[] }>("/v1/self/password", { present, password, keepTokens });
  session.answer(changed, () =>
    changed.revoked.length === 0
      ? "you have another password\n"
      : `you have another password; revoked: ${changed.revoked.join(", ")}\n`,
  );
}

async function askPassword(
  session: Session,
  { passwordFile }: PasswordOption,
  question: string,
  field = "--password-file",
): Promise<string> {
  if (passwordFile !== undefined) return readPassword(field, passwordFile);
  if (session.asks) {
    const { password } = await import("@clack/prompts");
    const given = await password({ message: question });
    if (typeof given === "string") return given;
  }
  throw new ApplianceError("INVALID", "a password is needed", {
    details: { field, remedy: `name the file that holds it with ${field}; - reads standard input` },
  });
}

function readPassword(field: string, file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ApplianceError("INVALID", `${field}: ${file} can't be read (${code})`, {
      details: { field, value: file, remedy: "name the file that holds the password" },
      cause,
    });
  }
}
