import type { Namespaces } from "../../integration/namespaces.ts";

/** Where perfdhcp runs, and how it is told apart from other runs. */
export type PerfdhcpOptions = {
  namespaces: Namespaces;
  /** Namespace and address of the clients' side. perfdhcp acts as the relay of its clients: giaddr is this address. */
  namespace: string;
  address: string;
  server: string;
  /** 68 for a server that knows no relays and answers to the client port. */
  localPort?: number;
  /** DISCOVERs per second. */
  rate: number;
  seconds: number;
  /** Different clients; once each has asked, they ask again. */
  clients: number;
  /** The first client's MAC. */
  firstMac: string;
};

/** What one run of perfdhcp saw. */
export type Exchanges = {
  discovers: number;
  acks: number;
  /** Sorted, of all REQUEST-ACK exchanges, in ms. */
  ackMs: number[];
};

/** Has perfdhcp offer four-way exchanges at a fixed rate; answers what came of them. Half a second counts for stragglers. */
export function perfdhcp(options: PerfdhcpOptions): Exchanges {
  const { namespaces, namespace, address, server, localPort, rate, seconds, clients, firstMac } = options;
  const words = ["-4", "-l", address, "-r", String(rate), "-p", String(seconds), "-R", String(clients)];
  if (localPort !== undefined) words.push("-L", String(localPort));
  words.push("-b", `mac=${firstMac}`, "-W", "500000", "-x", "t", server);
  // it ends with 3 when exchanges were lost, which is what is to be learned
  const script = 'perfdhcp "$@" 2>&1; case $? in 0|3) ;; *) exit 1 ;; esac';
  const output = namespaces.run(namespace, ["sh", "-c", script, "perfdhcp", ...words]);
  const [, offers = "", requests = ""] = output.split("***Statistics for: ");
  const [, , ackTimes = ""] = output.split("***Timestamps for packets: ");
  const ackMs = [...ackTimes.matchAll(/^sent \/ received: ([\d.]+) \/ ([\d.]+)$/gm)]
    .map(([, sent, received]) => (Number(received) - Number(sent)) * 1000)
    .sort((left, right) => left - right);
  return { discovers: counted(offers, "sent"), acks: counted(requests, "received"), ackMs };
}

function counted(statistics: string, what: "sent" | "received"): number {
  const found = new RegExp(`^${what} packets: (\\d+)$`, "m").exec(statistics);
  if (!found) throw new Error(`perfdhcp told of no ${what} packets:\n${statistics.slice(0, 1000)}`);
  return Number(found[1]);
}
