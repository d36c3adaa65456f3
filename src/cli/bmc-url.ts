import { ApplianceError } from "../errors.ts";

/** A BMC as `ipmi://user@host[:port]` or `hil://NODE` names it. */
export type BmcPlace =
  | { driver: "ipmi"; address: string; port?: number; user: string }
  | { driver: "hil"; hilNode: string };

/** The BMC that a URL names. INVALID when it is not written like that, or holds a password: others can read command lines. */
export function parseBmcUrl(text: string): BmcPlace {
  const refuse = (reason: string, remedy: string) =>
    new ApplianceError("INVALID", `--bmc: ${reason}`, { details: { field: "--bmc", remedy } });
  const [, hilNode] = /^hil:\/\/([^/@:]+)\/?$/.exec(text) ?? [];
  if (hilNode !== undefined) return { driver: "hil", hilNode: decodeURIComponent(hilNode) };
  const match = /^ipmi:\/\/([^@/:]+)(:[^@/]*)?@([^@/:]+|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?\/?$/.exec(text);
  if (!match)
    throw refuse(
      "that is no BMC that is known here",
      "write it like ipmi://admin@10.0.0.7 or ipmi://admin@10.0.0.7:623, or hil://NODE for one that HIL has",
    );
  const [, user = "", password, address = "", port] = match;
  if (password !== undefined) {
    throw refuse("a password on the command line can be read by others", "put it in a file: --bmc-password-file FILE");
  }
  return { driver: "ipmi", user: decodeURIComponent(user), address, ...(port ? { port: Number(port) } : {}) };
}
