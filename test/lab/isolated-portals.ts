import { resolve } from "node:path";
import { recordNamespace } from "./lab-state.ts";
import type { LabNetwork } from "./namespace.ts";
import { PREFIX } from "./rack-config.ts";

const SCRIPT = resolve(import.meta.dirname, "../../systemd/isolate-network.sh");

/**
 * Opens a netlink socket for sock_diag(7) and one that listens on TCP port 80, which the program that it becomes inherits:
 * <sys/socket.h>, <linux/netlink.h>.
 */
const OPEN = [
  "$^F = 63",
  "socket(PEERS, 16, 3, 4) or die $!",
  "socket(HTTP, 2, 1, 0) or die $!",
  'bind(HTTP, pack("S n x12", 2, 80)) or die $!',
  "listen(HTTP, 128) or die $!",
  "$ENV{LISTEN_PID} = $$",
  "exec @ARGV or die $!",
].join("; ");

/**
 * The argument vector that runs another one with the sockets that systemd would open in these network namespaces, and pass
 * as it does (sd_listen_fds(3)). Standard streams are its only other descriptors.
 */
export function withPortalSockets(namespaces: string[], interfaces: string[], argv: string[]): string[] {
  if (namespaces.length === 0) return argv;
  const names = interfaces.flatMap((name) => [`peers-${name}`, `http-portal-${name}`]);
  const openers = namespaces.flatMap((name) => ["nsenter", `--net=/run/netns/${name}`, "perl", "-e", OPEN]);
  return ["env", `LISTEN_FDS=${names.length}`, `LISTEN_FDNAMES=${names.join(":")}`, ...openers, ...argv];
}

/** Makes the appliance's side of isolated networks; answers the names of the namespaces that their tgtds go to. */
export async function isolatePortals(network: LabNetwork, interfaces: string[], portals: string[]): Promise<string[]> {
  const names: string[] = [];
  for (const [index, one] of interfaces.entries()) {
    const name = `${network.namespace}-${one}`;
    await recordNamespace(network.stateDirectory, name);
    await network.run(["sh", SCRIPT, one, `${portals[index]}/${PREFIX}`, name]);
    names.push(name);
  }
  return names;
}
