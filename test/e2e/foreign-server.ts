import { openSync } from "node:fs";
import { join } from "node:path";
import { type ForeignDhcp, foreignDhcp } from "../lab/foreign-dhcp.ts";
import { destroyNamespace, endProcess, recordNamespace } from "../lab/lab-state.ts";
import type { LabNetwork } from "../lab/namespace.ts";
import { runProgram } from "../lab/program.ts";

const NIC = "nic";
const NET = "10.77.0";

/** The network's own DHCP server: a machine of its own on the first provisioning network, at 10.77.0.2. */
export class ForeignServer {
  static readonly address = `${NET}.2`;
  readonly #network: LabNetwork;
  readonly #namespace: string;

  constructor(network: LabNetwork) {
    this.#network = network;
    this.#namespace = `${network.namespace}-foreign`;
  }

  async connect(): Promise<void> {
    const { stateDirectory, run } = this.#network;
    await recordNamespace(stateDirectory, this.#namespace);
    await destroyNamespace(this.#namespace);
    await runProgram("ip", ["netns", "add", this.#namespace]);
    const end = ["peer", "name", NIC, "netns", this.#namespace];
    await run(["ip", "link", "add", "to-foreign", "type", "veth", ...end]);
    await run(["ip", "link", "set", "to-foreign", "master", "prov0", "up"]);
    const ip = (...words: string[]) => runProgram("ip", ["-n", this.#namespace, ...words]);
    await ip("link", "set", "lo", "up");
    await ip("address", "add", `${ForeignServer.address}/24`, "dev", NIC, "brd", "+");
    await ip("link", "set", NIC, "up");
  }

  async start(kind: ForeignDhcp, boot?: { file: string; server: string }): Promise<void> {
    const directory = join(this.#network.stateDirectory, "foreign");
    const { argv, env } = foreignDhcp({ kind, directory, interface: NIC, net: NET, ...(boot ? { boot } : {}) });
    const log = openSync(join(this.#network.stateDirectory, `${kind}.log`), "a");
    await this.#network.start(["nsenter", `--net=/run/netns/${this.#namespace}`, "--", ...argv], {
      ...{ name: "foreign-dhcp", stdio: ["ignore", log, log], env },
    });
  }

  async stop(): Promise<void> {
    await endProcess(this.#network.stateDirectory, "foreign-dhcp");
  }
}
