import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { endProcess, startProcess } from "./lab-state.ts";
import { runProgram } from "./program.ts";

export type OpenVswitchOptions = {
  /** Where its database, sockets and logs lie; what it starts is written down there. */
  stateDirectory: string;
  /** The network namespace that it switches in. */
  namespace: string;
  /** Listen with TLS too, on 127.0.0.1. */
  tls?: { port: number; ca: string; certificate: string; key: string };
};

/** An Open vSwitch of a test's own: ovsdb-server here, ovs-vswitchd with its datapath in user space in a namespace. */
export class OpenVswitch {
  readonly #options: OpenVswitchOptions;
  readonly #directory: string;
  readonly socket: string;

  constructor(options: OpenVswitchOptions) {
    this.#options = options;
    this.#directory = join(options.stateDirectory, "ovs");
    this.socket = join(this.#directory, "db.sock");
  }

  async start(): Promise<void> {
    mkdirSync(this.#directory, { recursive: true });
    const schema = "/usr/share/openvswitch/vswitch.ovsschema";
    await runProgram("ovsdb-tool", ["create", join(this.#directory, "conf.db"), schema]);
    await this.startDatabase();
    await this.vsctl("--no-wait", "init");
    await this.startSwitch();
  }

  async startDatabase(): Promise<void> {
    const { tls } = this.#options;
    const remotes = [`--remote=punix:${this.socket}`];
    if (tls) {
      remotes.push(`--remote=pssl:${tls.port}:127.0.0.1`, `--private-key=${tls.key}`);
      remotes.push(`--certificate=${tls.certificate}`, `--ca-cert=${tls.ca}`);
    }
    const files = ["pidfile=ovsdb.pid", "log-file=ovsdb.log", "unixctl=ovsdb.ctl"];
    await this.#run("ovsdb-server", [join(this.#directory, "conf.db"), ...remotes, ...this.#own(files)]);
  }

  async startSwitch(): Promise<void> {
    const files = ["pidfile=vswitchd.pid", "log-file=vswitchd.log", "unixctl=vswitchd.ctl"];
    const own = [`unix:${this.socket}`, "--disable-system", ...this.#own(files)];
    await this.#run("ovs-vswitchd", ["ip", "netns", "exec", this.#options.namespace, "ovs-vswitchd", ...own]);
  }

  async stop(program: "ovsdb-server" | "ovs-vswitchd"): Promise<void> {
    await endProcess(this.#options.stateDirectory, program);
  }

  /** Runs ovs-vsctl; it waits for the database, and without `--no-wait` for the switch. */
  async vsctl(...words: string[]): Promise<string> {
    return await runProgram("ovs-vsctl", ["--timeout=20", "--retry", `--db=unix:${this.socket}`, ...words]);
  }

  #own(files: string[]): string[] {
    return files.map((file) => `--${file.replace("=", `=${this.#directory}/`)}`);
  }

  async #run(name: string, argv: string[]): Promise<void> {
    const { stateDirectory } = this.#options;
    const command = argv[0] === "ip" ? argv : [name, ...argv];
    const env = { ...process.env, OVS_RUNDIR: this.#directory };
    await startProcess(stateDirectory, command, { name, stdio: ["ignore", "ignore", "ignore"], env });
  }
}
