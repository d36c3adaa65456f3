import { spawn } from "node:child_process";
import { join } from "node:path";
import { ApplianceError } from "../../errors.ts";
import { abortedError, driverFailed, throwIfAborted } from "../failure.ts";
import type { BmcAccount } from "./power-control.ts";

/** IPMI 2.0 table 22-20: 17 is SHA-256, 3 is SHA-1, which older BMCs know alone. */
export type CipherSuite = 17 | 3;

export type IpmiAccount = Extract<BmcAccount, { driver: "ipmi" }>;

/** Seconds to wait for a packet, and how often to send it again: about ten seconds for a BMC that is not there. */
const PATIENCE = ["-N", "2", "-R", "2"];
/** What a command prints is a line or two; a program that floods us is not ipmitool. */
const MAX_OUTPUT = 64 * 1024;

/**
 * What ipmitool finds in its environment. The password goes there: argument vectors are everybody's to read. Its home has
 * an empty list of manufacturers: Debian's takes it 6 MB, and most of its time.
 */
export function ipmitoolEnvironment({ password }: IpmiAccount): Record<string, string | undefined> {
  const home = join(import.meta.dirname, "ipmitool-home");
  return { PATH: process.env.PATH, LANG: "C", TZ: "UTC", HOME: home, IPMI_PASSWORD: password };
}

/** The BMC does not take this cipher suite: another may do. */
export class SuiteRefused extends Error {}

/**
 * Runs one ipmitool command (`chassis power status`) and answers what it printed. Aborting kills the program.
 */
export async function runIpmitool(
  account: IpmiAccount,
  suite: CipherSuite,
  command: string[],
  signal: AbortSignal,
): Promise<string> {
  const action = command.join(" ");
  throwIfAborted(signal, "ipmi", action);
  const { address, port, user } = account;
  const session = ["-I", "lanplus", "-C", String(suite), "-H", address, "-p", String(port), "-U", user, "-E"];
  // -v tells a refused password from a BMC that is not there; without, both are the same one line. But it takes the
  // times out of a log.
  const verbose = action.startsWith("sel list") ? [] : ["-v"];
  const child = spawn("ipmitool", [...verbose, ...session, ...PATIENCE, ...command], {
    stdio: ["ignore", "pipe", "pipe"],
    env: ipmitoolEnvironment(account),
    signal,
    killSignal: "SIGKILL",
  });
  let output = "";
  let complaints = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    if (output.length < MAX_OUTPUT) output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (complaints.length < MAX_OUTPUT) complaints += text;
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    let failure: unknown;
    child.on("error", (error: NodeJS.ErrnoException) => {
      failure = signal.aborted ? abortedError(signal, "ipmi", action) : notStarted(error, action);
      // A program that never started does not close.
      if (child.pid === undefined) reject(failure);
    });
    child.on("close", (code) => (failure ? reject(failure) : resolve(code)));
  });
  if (status === 0) return output;
  throw explain(complaints, account, action);
}

function notStarted(error: NodeJS.ErrnoException, action: string): ApplianceError {
  const remedy = error.code === "ENOENT" ? "install Debian's package ipmitool" : "see whether ipmitool starts by hand";
  return driverFailed("ipmi", action, "ipmitool does not start", { details: { remedy }, cause: error });
}

/** The typed error behind ipmitool's complaints. */
function explain(complaints: string, account: IpmiAccount, action: string): Error {
  const said = /Error in open session response message : (.*)|RAKP \d message indicates an error : (.*)/.exec(
    complaints,
  );
  const reason = said?.[1] ?? said?.[2] ?? "";
  const bmc = `${account.address}:${account.port}`;
  const facts = { driver: "ipmi", action, bmc };
  if (/algorithm|cipher suite|no matching/.test(reason) || complaints.includes("Timeout in open session response")) {
    return new SuiteRefused(reason);
  }
  if (/unauthorized|invalid role/.test(reason) || /RAKP \d HMAC is invalid|invalid integrity check/.test(complaints)) {
    return new ApplianceError("UNAUTHENTICATED", `${action}: BMC ${bmc} refuses user "${account.user}"`, {
      details: {
        ...facts,
        remedy: "check user and password; the user needs privilege ADMINISTRATOR on the LAN channel",
      },
    });
  }
  if (complaints.includes("password is longer than")) {
    return new ApplianceError("INVALID", `${action}: the password for BMC ${bmc} is longer than IPMI's 20 bytes`, {
      details: { ...facts, field: "password", remedy: "set a password of at most 20 bytes" },
    });
  }
  if (/insufficient resources/.test(reason)) {
    return new ApplianceError("UNAVAILABLE", `${action}: BMC ${bmc} has no session free`, {
      details: { ...facts, remedy: "close other IPMI sessions, or wait until they time out" },
    });
  }
  if (complaints.includes("Command not supported in present state")) {
    return driverFailed("ipmi", action, "not possible in the machine's present state", {
      details: { bmc, presentState: true },
    });
  }
  if (complaints.includes("Unable to establish IPMI v2") || complaints.includes("Get Auth Capabilities error")) {
    return new ApplianceError("UNAVAILABLE", `${action}: BMC ${bmc} does not answer`, {
      details: { ...facts, remedy: "check its address, cable and VLAN, and that IPMI over LAN is enabled" },
    });
  }
  return driverFailed("ipmi", action, `BMC ${bmc}: ${complaints.trim().split("\n").at(-1) ?? "no reason given"}`, {
    details: { bmc },
    retryable: true,
  });
}
