import pLimit from "p-limit";
import { z } from "zod";
import { ApplianceError, isApplianceError, toApplianceError } from "../../errors.ts";
import { type HilAccount, readHilAccount } from "./hil-account.ts";
import { HilClient } from "./hil-client.ts";

const NAMES = z.array(z.string());
const CALL_SECONDS = 10;
const ANSWER_MS = 20_000;
/** HIL needs a fifth of a second of one processor for each password: nobody may make it do nothing else. */
const AT_ONCE = 4;
const LONGEST_LINE = 32;

type Credentials = NonNullable<HilAccount["credentials"]>;

/**
 * HIL as somebody who knows people by their credentials. It has no call that tells who asks: whether it knows them is told
 * by `GET /nodes/free`, which anybody may whom it knows, and whether they have a project by `GET /project/P/nodes`, which
 * it refuses to others (401). A HIL without authentication lets everybody do both, so it is asked without credentials first.
 */
export function createHilLogin(url: () => string | undefined) {
  const turn = pLimit(AT_ONCE);
  const clientOf = (credentials?: Credentials) => {
    const place = url();
    // the error for a HIL that the configuration does not have
    const account = place === undefined ? readHilAccount(undefined) : { url: place };
    return new HilClient(credentials ? { ...account, credentials } : account, { callSeconds: CALL_SECONDS });
  };

  const ask = async (credentials: Credentials, projects: readonly string[]): Promise<string[] | undefined> => {
    const signal = AbortSignal.timeout(ANSWER_MS);
    if (!isSendable(credentials)) return undefined;
    const client = clientOf(credentials);
    try {
      if (await isRefused(client, ["nodes", "free"], signal, ["UNAUTHENTICATED"])) return undefined;
      await refuseOpenHil(clientOf(), signal);
      const had = await Promise.all(
        projects.map(async (project) => {
          const path = ["project", project, "nodes"];
          return (await isRefused(client, path, signal, ["FORBIDDEN", "NOT_FOUND", "INVALID"])) ? [] : [project];
        }),
      );
      return had.flat();
    } catch (error) {
      if (isApplianceError(error, "UNAUTHENTICATED")) return undefined;
      throw unavailable(error, client.url);
    }
  };

  return {
    /** Which of the projects they have; undefined for whom HIL does not know. UNAVAILABLE when it can't tell, or too many ask. */
    ask: (credentials: Credentials, projects: readonly string[]): Promise<string[] | undefined> => {
      if (turn.pendingCount >= LONGEST_LINE) {
        throw new ApplianceError("UNAVAILABLE", "too many log in at HIL at a time", {
          details: { driver: "hil", remedy: "try again in a few seconds" },
        });
      }
      return turn(() => ask(credentials, projects));
    },
    /** Whether HIL answers, and asks who one is. UNAVAILABLE. */
    probe: async (signal: AbortSignal): Promise<string> => {
      const client = clientOf();
      try {
        await refuseOpenHil(client, signal);
      } catch (error) {
        throw unavailable(error, client.url);
      }
      return `${client.url} answers`;
    },
  };
}

async function isRefused(client: HilClient, path: string[], signal: AbortSignal, codes: string[]): Promise<boolean> {
  try {
    await client.get(path, NAMES, "ask HIL who that is", signal);
    return false;
  } catch (error) {
    if (isApplianceError(error) && codes.includes(error.code)) return true;
    throw error;
  }
}

async function refuseOpenHil(stranger: HilClient, signal: AbortSignal): Promise<void> {
  if (await isRefused(stranger, ["nodes", "free"], signal, ["UNAUTHENTICATED"])) return;
  throw new ApplianceError("UNAVAILABLE", `HIL at ${stranger.url} asks nobody who they are, so it can't tell`, {
    details: {
      driver: "hil",
      field: "api.authenticators",
      remedy: "let HIL authenticate (hil.ext.auth.database or keystone), or take hil out of api.authenticators",
    },
  });
}

/** What fits into headers (RFC 7617 2, RFC 9110 5.5); nobody is known by anything else. */
function isSendable(credentials: Credentials): boolean {
  if ("token" in credentials) return /^[\x21-\x7e]+$/.test(credentials.token);
  return credentials.user !== "" && !credentials.user.includes(":");
}

function unavailable(error: unknown, url: string): ApplianceError {
  const { code, message, details } = toApplianceError(error);
  if (code === "UNAVAILABLE") return error as ApplianceError;
  return new ApplianceError("UNAVAILABLE", `HIL at ${url} can't tell who that is now: ${message}`, {
    details: { ...details, driver: "hil" },
    cause: error,
  });
}
