import { readFileSync } from "node:fs";
import { ApplianceError } from "../../errors.ts";

/** Where HIL is, and as whom it is asked: plain values, secrets already read. Without credentials: HIL that asks for none. */
export type HilAccount = {
  /** As `http://hil.example:5000`; the `/v0` of its API may be left out. */
  url: string;
  credentials?: { user: string; password: string } | { token: string };
};

/**
 * The address of HIL's API, and the headers that go with each call. CONFIG_INVALID for what no HTTP request can carry;
 * no error repeats a secret.
 */
export function hilRequests({ url, credentials }: HilAccount): { base: string; headers: Record<string, string> } {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^https?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.search !== "")
    throw invalid("url", "HIL's address is a plain http or https URL", "write it like http://hil.example:5000");
  const base = `${parsed.origin}${parsed.pathname.replace(/\/+$/, "").replace(/\/v0$/, "")}/v0`;
  if (!credentials) return { base, headers: {} };
  if ("token" in credentials) {
    if (!/^[\x21-\x7e]+$/.test(credentials.token))
      throw invalid("token", "HIL's token has characters that no header can carry", "look at the file that it is in");
    return { base, headers: { "x-auth-token": credentials.token } };
  }
  const { user, password } = credentials;
  if (user === "" || user.includes(":"))
    throw invalid("user", "a user of HIL has a name without a colon", "name a user that HIL knows");
  return { base, headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` } };
}

function invalid(field: string, message: string, remedy: string): ApplianceError {
  return new ApplianceError("CONFIG_INVALID", `${field}: ${message}`, { details: { field, driver: "hil", remedy } });
}

/** How the configuration names HIL. Secrets are in files, and read when needed. */
export type HilPlace = {
  url: string;
  user?: string | undefined;
  passwordFile?: string | undefined;
  tokenFile?: string | undefined;
};

/** The account of a place. INVALID for none, and for a file that can't be read. */
export function readHilAccount(place: HilPlace | undefined): HilAccount {
  if (!place) {
    throw new ApplianceError("INVALID", "the configuration does not say where HIL is", {
      details: { field: "isolation.hil", driver: "hil", remedy: "set isolation.hil, with url, user and passwordFile" },
    });
  }
  const { url, user, passwordFile, tokenFile } = place;
  if (tokenFile !== undefined) return { url, credentials: { token: readSecret("tokenFile", tokenFile) } };
  if (user === undefined || passwordFile === undefined) return { url };
  return { url, credentials: { user, password: readSecret("passwordFile", passwordFile) } };
}

function readSecret(key: string, file: string): string {
  try {
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    const field = `isolation.hil.${key}`;
    throw new ApplianceError("INVALID", `${field}: the file can't be read`, {
      cause,
      details: { field, value: file, driver: "hil", remedy: "let the user that runs ingotd read it (mode 0400)" },
    });
  }
}
