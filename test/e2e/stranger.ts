import { join } from "node:path";
import { writeUdhcpcScript } from "../integration/udhcpc.ts";
import { destroyNamespace, recordNamespace } from "../lab/lab-state.ts";
import type { LabNetwork } from "../lab/namespace.ts";
import { type ProgramOptions, runProgram } from "../lab/program.ts";

const NIC = "nic";
const PATIENCE_MS = 30_000;

/** What an initiator says of itself at its login. */
export type Login = { iqn: string; initiator: string; user?: string; secret?: string };

/** A machine on a provisioning network that is no node: a namespace of its own, cabled to the bridge. It has no address yet. */
export class Stranger {
  readonly #network: LabNetwork;
  readonly #namespace: string;
  readonly #bridge: string;

  constructor(network: LabNetwork, bridge: string) {
    this.#network = network;
    this.#namespace = `${network.namespace}-stranger`;
    this.#bridge = bridge;
  }

  async connect(): Promise<void> {
    const { stateDirectory, run } = this.#network;
    await recordNamespace(stateDirectory, this.#namespace);
    await destroyNamespace(this.#namespace);
    await runProgram("ip", ["netns", "add", this.#namespace]);
    const end = ["peer", "name", NIC, "netns", this.#namespace];
    await run(["ip", "link", "add", "to-stranger", "type", "veth", ...end]);
    await run(["ip", "link", "set", "to-stranger", "master", this.#bridge, "up"]);
    await this.run(["ip", "link", "set", NIC, "up"]);
    writeUdhcpcScript(stateDirectory);
  }

  run(argv: string[], options?: ProgramOptions): Promise<string> {
    return runProgram("nsenter", [`--net=/run/netns/${this.#namespace}`, ...argv], options);
  }

  /** Asks by DHCP for `wish` under this hardware address; answers what it got and now has, if anything. */
  async askAddress(mac: string, wish: string): Promise<string | undefined> {
    await this.run(["ip", "address", "flush", "dev", NIC]);
    await this.run(["ip", "link", "set", NIC, "address", mac]);
    const script = join(this.#network.stateDirectory, "udhcpc-script");
    const once = ["-f", "-n", "-q", "-t", "3", "-T", "1"];
    const said = await this.run(["udhcpc", ...once, "-i", NIC, "-r", wish, "-s", script]).catch(() => "");
    return /^bound (\S+)/m.exec(said)?.[1];
  }

  /** Takes an address without asking. */
  async takeAddress(address: string): Promise<void> {
    await this.run(["ip", "address", "flush", "dev", NIC]);
    await this.run(["ip", "address", "add", `${address}/24`, "dev", NIC]);
  }

  /** What an HTTP server answers: status and body. */
  async fetch(url: string, ...options: string[]): Promise<{ status: number; body: string }> {
    const said = await this.run(["curl", "-s", "-m", "10", "-w", "\n%{http_code}", ...options, url]);
    const end = said.lastIndexOf("\n");
    return { status: Number(said.slice(end + 1)), body: said.slice(0, end) };
  }

  /** The names of the targets that a portal shows to this machine. */
  async discover(portal: string): Promise<string[]> {
    const said = await this.run(["iscsi-ls", `iscsi://${portal}`], { signal: AbortSignal.timeout(PATIENCE_MS) });
    return [...said.matchAll(/^Target:(\S+)/gm)].map((match) => match[1]!);
  }

  /** Logs in and asks the disk for its serial number (SPC-4 7.8.15); answers what was printed, or why it was refused. */
  async login(portal: string, { iqn, initiator, user, secret }: Login): Promise<string> {
    const env = { ...process.env, LIBISCSI_CHAP_USERNAME: user, LIBISCSI_CHAP_PASSWORD: secret };
    const argv = ["iscsi-inq", "-i", initiator, "-e", "1", "-c", "128", `iscsi://${portal}/${iqn}/1`];
    return await this.run(argv, { env, signal: AbortSignal.timeout(PATIENCE_MS) }).catch((error) => String(error));
  }
}
