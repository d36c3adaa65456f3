import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Namespaces } from "../../integration/namespaces.ts";
import { asNobody, NOBODY } from "../../lab/as-nobody.ts";
import { fillState } from "../../lab/filled-state.ts";

const SUBNET = "10.64.0.0/13";
const FIRST = "10.64.1.0";
const LAST = "10.71.255.254";
const LEASE_SECONDS = 3600;

export const SERVER_ADDRESS = "10.64.0.1";
export const CLIENT_ADDRESS = "10.64.0.2";
export const CLIENTS = "ingot-bd-c";
const SERVERS = "ingot-bd-s";
const repository = resolve(import.meta.dirname, "../../..");

/** A DHCP server with an empty lease database, or one with leases; `end` may be called once. */
export type BenchServer = { localPort?: number; end(): Promise<void> };
export type StartServer = (leases?: number) => Promise<BenchServer>;

/** Two namespaces and one veth pair, and the servers that can be started at one end, one at a time. */
export function benchServers(folder: string) {
  chmodSync(folder, 0o755);
  const namespaces = new Namespaces(SERVERS, CLIENTS);
  namespaces.cable(
    { namespace: SERVERS, interface: "veth0", addresses: [`${SERVER_ADDRESS}/13`] },
    { namespace: CLIENTS, interface: "veth0", addresses: [`${CLIENT_ADDRESS}/13`] },
  );

  /** Each start of a server has a folder of its own, which nobody else's leases lie in. */
  function freshFolder(name: string): string {
    const own = join(folder, name);
    rmSync(own, { recursive: true, force: true });
    mkdirSync(own);
    chmodSync(own, 0o777);
    return own;
  }

  function start(folder: string, argv: string[], environment: NodeJS.ProcessEnv = {}): ChildProcess {
    const log = openSync(join(folder, "output"), "a");
    return namespaces.start(SERVERS, argv, { stdio: ["ignore", log, log], env: { ...process.env, ...environment } });
  }

  /** Waits until somebody listens on the server port, and not on the API alone. */
  async function listening(child: ChildProcess, folder: string): Promise<BenchServer> {
    const deadline = Date.now() + 20_000;
    while (!namespaces.run(SERVERS, ["ss", "-Hlun", "sport = :67"]).includes(":67")) {
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`no server came up: ${readFileSync(join(folder, "output"), "utf8")}`);
      }
      await sleep(20);
    }
    return {
      async end() {
        const exit = once(child, "exit");
        child.kill("SIGKILL");
        await exit;
      },
    };
  }

  const ingot: StartServer = async (leases = 0) => {
    const own = freshFolder("ingot");
    const state = join(own, "state");
    const config = join(own, "ingot.yaml");
    for (const name of ["state", "run", "cache", "repository"]) {
      mkdirSync(join(own, name));
      chownSync(join(own, name), NOBODY, NOBODY);
    }
    const network = {
      name: "bench",
      interface: "veth0",
      address: SERVER_ADDRESS,
      subnet: SUBNET,
      pool: [{ from: FIRST, to: LAST }],
      // at once: nobody looks for other servers first
      ...{ dhcp: "server", besideForeignDhcp: true },
      leaseSeconds: LEASE_SECONDS,
      portals: [{ address: SERVER_ADDRESS }],
      tgtd: { control: 0 },
    };
    const directories = { stateDirectory: state, runtimeDirectory: join(own, "run"), assetsDirectory: own };
    writeFileSync(config, JSON.stringify({ ...directories, networks: [network] }));
    await fillState(state, { leases, network: "bench", firstAddress: FIRST, owner: NOBODY });
    const argv = [process.execPath, join(repository, "src/main.ts"), "--config", config];
    return listening(start(own, asNobody(argv, join(own, "repository"))), own);
  };

  const kea: StartServer = async () => {
    const own = freshFolder("kea");
    const config = join(own, "kea.json");
    const dhcp4 = {
      "interfaces-config": { interfaces: ["veth0"] },
      "lease-database": { type: "memfile", persist: true, name: join(own, "leases.csv") },
      "valid-lifetime": LEASE_SECONDS,
      subnet4: [{ id: 1, subnet: SUBNET, pools: [{ pool: `${FIRST} - ${LAST}` }] }],
      loggers: [{ name: "kea-dhcp4", severity: "INFO", output_options: [{ output: join(own, "log") }] }],
    };
    writeFileSync(config, JSON.stringify({ Dhcp4: dhcp4 }));
    return listening(start(own, ["kea-dhcp4", "-c", config], { KEA_PIDFILE_DIR: own, KEA_LOCKFILE_DIR: own }), own);
  };

  const dnsmasq: StartServer = async () => {
    const own = freshFolder("dnsmasq");
    const words = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=veth0", "--no-ping"];
    const range = `--dhcp-range=${FIRST},${LAST},255.248.0.0,${LEASE_SECONDS}`;
    const files = [`--dhcp-leasefile=${join(own, "leases")}`, `--log-facility=${join(own, "log")}`, "--pid-file"];
    return listening(start(own, ["dnsmasq", ...words, range, "--dhcp-lease-max=1000000", ...files]), own);
  };

  const npmDhcp: StartServer = async () => {
    const own = freshFolder("npm-dhcp");
    const program = join(import.meta.dirname, "npm-server.ts");
    const words = [SERVER_ADDRESS, FIRST, LAST, "255.248.0.0", CLIENT_ADDRESS];
    return { ...(await listening(start(own, [process.execPath, program, ...words]), own)), localPort: 68 };
  };

  return { namespaces, ingot, kea, dnsmasq, npmDhcp };
}
