import { resolve } from "node:path";
import { Lines, Namespaces } from "../../integration/namespaces.ts";

const SERVER = "fi-bench-server";
const CLIENT = "fi-bench-client";
const MTU = 1500;

/** The servers' address on the veth pair. */
export const SERVER_ADDRESS = "10.64.1.1";

const PORTS = { ingot: 69, "tftpd-hpa": 1069, "npm tftp": 2069, "node:dgram echo": 3069 };

/** A server that answers on the veth pair. */
export type Peer = keyof typeof PORTS;

/** Starts all servers of `root` in a namespace of their own, on one CPU; another namespace is the client's. */
export async function benchServers(root: string, file: { bytes: number; blockBytes: number }, cpu: number) {
  const namespaces = new Namespaces(SERVER, CLIENT);
  namespaces.cable(
    { namespace: SERVER, interface: "rack", addresses: [`${SERVER_ADDRESS}/24`] },
    { namespace: CLIENT, interface: "nic", addresses: ["10.64.1.2/24"] },
  );
  const start = (...words: (string | number)[]) =>
    namespaces.start(SERVER, ["taskset", "-c", ...[cpu, ...words].map(String)]);
  const startNode = (program: string, ...words: (string | number)[]) =>
    new Lines(start(process.execPath, resolve(import.meta.dirname, program), SERVER_ADDRESS, ...words)).next(/^ready$/);

  start("/usr/sbin/in.tftpd", "-L", "-a", `${SERVER_ADDRESS}:${PORTS["tftpd-hpa"]}`, "-s", root);
  await startNode("serve.ts", PORTS.ingot, root, MTU);
  await startNode("serve-npm.ts", PORTS["npm tftp"], root);
  await startNode("echo-blocks.ts", PORTS["node:dgram echo"], file.bytes, file.blockBytes);
  return {
    ports: PORTS,
    /** The argument vector that runs another one at the client's end. */
    atClient: (argv: string[]) => ["ip", "netns", "exec", CLIENT, ...argv],
    stop: () => namespaces.remove(),
  };
}
