import type { Socket } from "node:dgram";
import type { Clock } from "../clock.ts";
import type { NetworkConfig } from "../config/schema.ts";
import { toApplianceError } from "../errors.ts";
import type { Mac } from "../values/mac.ts";
import { probeServers } from "./probe.ts";
import type { DhcpStanding } from "./standing.ts";

export type WatchTimes = {
  /** How long a probe waits for answers. dnsmasq pings an address for 3 s before it offers it. */
  windowMs: number;
  /** From the end of a probe to the next one. */
  everyMs: number;
  /** The same while DHCP is silent because of another server, or one is to be confirmed; and the least, whatever is heard of others. */
  silentEveryMs: number;
};

export const WATCH_TIMES: WatchTimes = { windowMs: 4000, everyMs: 5 * 60 * 1000, silentEveryMs: 30 * 1000 };

export type ServerWatch = {
  network: NetworkConfig;
  standing: DhcpStanding;
  /** The client that probes pretend to be: our own server must not answer it. */
  mac: Mac;
  /** A socket on port 68 of the interface, for one probe. */
  openSocket: () => Promise<Socket>;
  clock: Clock;
  times?: WatchTimes;
};

export type RunningWatch = {
  /** Has it look again without waiting for its time: something new was heard. Costs nothing, however often. */
  hurry(): void;
  stop(): Promise<void>;
};

/** Looks for other DHCP servers now and from time to time, and tells `standing`. Never throws. */
export function watchServers({ times = WATCH_TIMES, ...watch }: ServerWatch): RunningWatch {
  const { standing, clock } = watch;
  const stop = new AbortController();
  let hurry = new AbortController();
  const running = (async () => {
    while (!stop.signal.aborted) {
      await probeOnce(watch, times.windowMs, stop.signal);
      const pauseMs = standing.isUnsettled ? times.silentEveryMs : times.everyMs;
      const leastMs = Math.min(pauseMs, times.silentEveryMs);
      await clock.sleep(leastMs, stop.signal).catch(() => {});
      await clock.sleep(pauseMs - leastMs, AbortSignal.any([stop.signal, hurry.signal])).catch(() => {});
      hurry = new AbortController();
    }
  })();
  return {
    hurry: () => hurry.abort(),
    async stop() {
      stop.abort();
      await running;
    },
  };
}

async function probeOnce(watch: Omit<ServerWatch, "times">, windowMs: number, signal: AbortSignal): Promise<void> {
  const { network, standing, mac, clock } = watch;
  const startedAt = clock.now();
  let socket: Socket | undefined;
  try {
    socket = await watch.openSocket();
    socket.on("error", () => {}); // a probe without answers tells the same
    const onServer = (server: NetworkConfig["address"]) => standing.saw(server);
    await probeServers({ socket, mac, address: network.address, windowMs, onServer, clock, signal });
    standing.probed(startedAt);
  } catch (error) {
    if (signal.aborted) return;
    const { message, details } = toApplianceError(error);
    standing.probed(startedAt, { message, ...(details.remedy ? { remedy: details.remedy } : {}) });
  } finally {
    socket?.close();
  }
}
