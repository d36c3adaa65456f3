import { join } from "node:path";
import type { LeaseRecord } from "../../src/leases/lease.ts";
import { Lines, type Namespaces } from "./namespaces.ts";

/** One side of the tests' networks in the words of the configuration: `<net>.1` on interface `side`, pool from .100. */
export function networkPlan(side: string, net: string, control: number, more: object = {}) {
  return {
    name: side,
    interface: side,
    address: `${net}.1`,
    subnet: `${net}.0/24`,
    pool: [{ from: `${net}.100`, to: `${net}.199` }],
    router: `${net}.254`,
    dns: ["10.61.9.9"],
    domain: "rack.example",
    leaseSeconds: 600,
    portals: [{ address: `${net}.1` }],
    tgtd: { control },
    ...more,
  };
}

/** Starts the DHCP server on real parts in a namespace, with its state in `directory`; resolves when it serves. */
export async function startDhcpService(
  namespaces: Namespaces,
  namespace: string,
  directory: string,
  plan: { networks: object[]; nodes?: object[] },
) {
  const program = `${import.meta.dirname}/programs/serve-dhcp.ts`;
  const argument = JSON.stringify({ stateDirectory: join(directory, "state"), ...plan });
  const child = namespaces.start(namespace, [process.execPath, program, argument]);
  const lines = new Lines(child);
  await lines.next(/^ready$/);
  const ask = (question: string, answer: RegExp) => {
    child.stdin?.write(`${question}\n`);
    return lines.next(answer);
  };
  const leases = async () => JSON.parse((await ask("leases", /^leases/)).slice("leases ".length)) as LeaseRecord[];
  return { child, lines, ask, leases };
}
