import { openSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Namespaces } from "../../integration/namespaces.ts";
import { until } from "../../integration/until.ts";
import { bootEntry } from "../../unit/boot/boot-fixtures.ts";
import { nginxConfig } from "./nginx.ts";

const SERVER = "fi-bench-server";
const CLIENT = "fi-bench-client";
const ADDRESS = "10.64.1.1";
const PORTS = { ingot: 80, hono: 8080, nginx: 8081 };
const NODE = { mac: "52:54:00:64:00:01", address: "10.64.1.2" };
const PROVE_UP_MS = 10_000;

/**
 * Starts Ingot's boot server, a bare Hono route and nginx in a namespace of their own, on one CPU; the other namespace
 * is that of a node which has a disk to boot. Ingot reports each boot event on its output, a file.
 */
export async function benchServers(root: string, folder: string, cpu: number) {
  const namespaces = new Namespaces(SERVER, CLIENT);
  namespaces.cable(
    { namespace: SERVER, interface: "rack", addresses: [`${ADDRESS}/24`] },
    { namespace: CLIENT, interface: "nic", addresses: [`${NODE.address}/24`] },
  );
  const atClient = (argv: string[]) => ["ip", "netns", "exec", CLIENT, ...argv];
  const urls = {
    file: (server: "ingot" | "nginx") => `http://${ADDRESS}:${PORTS[server]}/assets/file`,
    script: (server: "ingot" | "hono") => `http://${ADDRESS}:${PORTS[server]}/boot/${NODE.mac}`,
  };
  const start = async (argv: string[], url: string) => {
    const output = openSync(join(folder, "output"), "a");
    namespaces.start(SERVER, ["taskset", "-c", String(cpu), ...argv], { stdio: ["ignore", output, output] });
    const answers = () =>
      namespaces.run(CLIENT, ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-r", "0-0", url]);
    await until(
      `${argv.join(" ")} is up`,
      () => {
        try {
          return answers().startsWith("20");
        } catch {
          return false;
        }
      },
      PROVE_UP_MS,
    );
  };

  const network = { name: "rack1", address: ADDRESS, httpPort: PORTS.ingot, unknown: "exit" };
  const entry = bootEntry({ mac: NODE.mac as never, address: NODE.address as never });
  const changes = [
    {
      collection: "nodes",
      key: entry.node,
      value: { id: entry.node, name: entry.nodeName, nics: [{ ...NODE, role: "boot", network: "rack1" }] },
    },
    { collection: "leases", key: NODE.address, value: { ...NODE, network: "rack1", state: "pinned", expiresAt: 0 } },
    { collection: "bootEntries", key: entry.node, value: entry },
  ];
  // One address asks for all that a rack asks for.
  const requestsPerAddress = { most: Number.MAX_SAFE_INTEGER, windowMs: 1000 };
  const facts = JSON.stringify({ network, loaders: {}, changes, assets: root, requestsPerAddress });
  const program = resolve(import.meta.dirname, "../../integration/programs/serve-boot.ts");
  await start([process.execPath, program, facts], urls.script("ingot"));
  const script = namespaces.run(CLIENT, ["curl", "-s", urls.script("ingot")]);
  const hono = resolve(import.meta.dirname, "serve-hono.ts");
  await start([process.execPath, hono, ADDRESS, String(PORTS.hono), String(script.length)], urls.script("hono"));
  const config = join(folder, "nginx.conf");
  writeFileSync(config, nginxConfig(root, folder, ADDRESS, PORTS.nginx));
  await start(["nginx", "-c", config], urls.file("nginx"));
  return { urls, atClient, stop: () => namespaces.remove() };
}
