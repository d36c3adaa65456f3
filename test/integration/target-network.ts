import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { tgtdArguments } from "../../src/drivers/targets/tgt-daemon.ts";
import { createTgtServer } from "../../src/drivers/targets/tgt-server.ts";
import type { Ipv4 } from "../../src/values/ipv4.ts";
import { Lines, Namespaces } from "./namespaces.ts";
import { until } from "./until.ts";

const SERVER = "hds-srv";

/** Where an initiator sits: its namespace and address, and the portal that it reaches from there. */
export type Place = { namespace: string; address: Ipv4; portal: { address: Ipv4; port: number } };

export const ALICE = place("hds-a", 1);
export const BOB = place("hds-b", 2);

function place(namespace: string, network: number): Place {
  const portal = { address: `10.91.${network}.1` as Ipv4, port: 3260 };
  return { namespace, address: `10.91.${network}.10` as Ipv4, portal };
}

/** How an initiator presents itself. */
export type Login = {
  iqn: string;
  /** 1 by default. */
  lun?: number;
  /** QEMU opens no write-protected LUN otherwise. */
  readOnly?: boolean;
  user?: string;
  secret?: string;
  /** What it expects of the target. */
  reverse?: { user: string; secret: string };
  initiator?: string;
};

/**
 * A namespace with one tgtd, and two with initiators, each cabled to it: nothing here is reachable from outside.
 * Initiators are libiscsi's: QEMU's, and iscsi-inq where mutual CHAP is asked for.
 */
export class TargetNetwork {
  readonly control: number;
  readonly #namespaces = new Namespaces(SERVER, ALICE.namespace, BOB.namespace);
  #tgtd: ChildProcess | undefined;

  constructor(control: number) {
    this.control = control;
    for (const { namespace, address, portal } of [ALICE, BOB]) {
      this.#namespaces.cable(
        { namespace: SERVER, interface: namespace, addresses: [`${portal.address}/24`] },
        { namespace, interface: "eth0", addresses: [`${address}/24`] },
      );
    }
  }

  /** Starts tgtd and waits until it answers. */
  async startTgtd(): Promise<void> {
    const argv = ["tgtd", ...tgtdArguments({ control: this.control, loopbackPort: 23000 + this.control - 300 })];
    this.#tgtd = this.#spawn(SERVER, argv);
    await until("tgtd answers", () =>
      createTgtServer()
        .list(this.control, AbortSignal.timeout(1000))
        .then(() => true)
        .catch(() => false),
    );
  }

  /** kill -9. */
  async killTgtd(): Promise<void> {
    const tgtd = this.#tgtd;
    if (!tgtd || tgtd.exitCode !== null || tgtd.signalCode !== null) return;
    const gone = once(tgtd, "exit");
    tgtd.kill("SIGKILL");
    await gone;
  }

  async remove(): Promise<void> {
    await this.killTgtd();
    await this.#namespaces.remove();
    for (const end of ["", ".lock"]) rmSync(`/var/run/tgtd/socket.${this.control}${end}`, { force: true });
  }

  /** Logs in, runs one qemu-io command, logs out. Answers whether all of it went well, and what was said. */
  once(from: Place, login: Login, command: string): { ok: boolean; said: string } {
    return this.#run(from, ["qemu-io", ...qemuOptions(from, login), "-c", command]);
  }

  /** Logs in, with mutual CHAP if so asked, prints a page of the disk's vital product data (SPC-4 7.8), logs out. */
  inquire(from: Place, login: Login, page: number): { ok: boolean; said: string } {
    const url = `iscsi://${from.portal.address}:${from.portal.port}/${login.iqn}/${login.lun ?? 1}`;
    return this.#run(from, ["iscsi-inq", "-e", "1", "-c", String(page), url], chapVariables(login));
  }

  /** Discovers the targets that let it in, and prints their LUNs. */
  listLuns(from: Place, login: Login): { ok: boolean; said: string } {
    const url = `iscsi://${from.portal.address}:${from.portal.port}/`;
    return this.#run(from, ["iscsi-ls", "-s", url], chapVariables(login));
  }

  /** A session that stays. */
  open(from: Place, login: Login): Session {
    return new Session(this.#spawn(from.namespace, ["qemu-io", ...qemuOptions(from, login)], "pipe"));
  }

  #spawn(namespace: string, argv: string[], stdio: "ignore" | "pipe" = "ignore"): ChildProcess {
    return spawn("nsenter", [`--net=/run/netns/${namespace}`, ...argv], { stdio });
  }

  #run(from: Place, argv: string[], environment: Record<string, string | undefined> = {}) {
    const { status, stdout, stderr } = spawnSync("nsenter", [`--net=/run/netns/${from.namespace}`, ...argv], {
      encoding: "utf8",
      timeout: 30_000,
      env: { ...process.env, ...environment },
    });
    return { ok: status === 0, said: `${stdout}${stderr}` };
  }
}

function chapVariables({ user, secret, reverse }: Login): Record<string, string | undefined> {
  return {
    LIBISCSI_CHAP_USERNAME: user,
    LIBISCSI_CHAP_PASSWORD: secret,
    LIBISCSI_CHAP_TARGET_USERNAME: reverse?.user,
    LIBISCSI_CHAP_TARGET_PASSWORD: reverse?.secret,
  };
}

function qemuOptions({ portal }: Place, { iqn, lun = 1, readOnly = false, user, secret, initiator }: Login): string[] {
  const image: Record<string, string> = {
    driver: "raw",
    "file.driver": "iscsi",
    "file.transport": "tcp",
    "file.portal": `${portal.address}:${portal.port}`,
    "file.target": iqn,
    "file.lun": String(lun),
    "file.initiator-name": initiator ?? "iqn.2026-11.org.ingot:node-test",
    ...(user === undefined ? {} : { "file.user": user, "file.password-secret": "chap" }),
  };
  const options = Object.entries(image).map(([key, value]) => `${key}=${value}`);
  const object = user === undefined ? [] : ["--object", `secret,id=chap,data=${secret}`];
  return [...object, ...(readOnly ? ["-r"] : []), "-d", "unmap", "--image-opts", options.join(",")];
}

/** An initiator that is logged in and obeys qemu-io commands. */
export class Session {
  readonly #child: ChildProcess;
  readonly #lines: Lines;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = new Lines(child);
  }

  /** Runs a command to its end; answers the line that tells how it went. */
  async command(command: string, deadlineMs = 60_000): Promise<string> {
    this.#child.stdin!.write(`${command}\n`);
    const line = await this.#lines.next(/bytes at offset|failed|error/i, deadlineMs);
    return line.replace(/^(qemu-io> )+/, "");
  }

  /** Runs a command over and over, until `stop` or the session ends it; resolves then. */
  async repeat(command: string, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const ended = await this.command(command).then(
        () => false,
        () => true,
      );
      if (ended) return;
    }
  }

  /** Ends it hard: no logout. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}
