import type { Resources } from "./resources.ts";

/** What a fuzzing run needs to know; its only argument, as JSON. */
export type FuzzTask = {
  protocol: "dhcp" | "tftp" | "http";
  /** Packets or requests. */
  count: number;
  seed: number;
  server: string;
  interface: string;
  /** Registered nodes that boot in turn all the while, so that none asks too often; the first has a disk. */
  honest: { name: string; mac: string; address: string }[];
  /** The process that is watched. */
  pid: number;
};

/** How it went; the last line of the run's output, as JSON. */
export type FuzzReport = {
  sent: number;
  /** Of these, how many our own codec (HTTP: the server, with a status other than 400) understands. */
  pastCodec: number;
  /** How often the honest client was served in between; every time, or the run fails. */
  honestServed: number;
  /** Slowest honest round, for people. */
  honestSlowestMs: number;
  /** Before the run, at a tenth of it, in the middle, and at the end. */
  resources: Resources[];
};
