import type { BootEntry } from "../boot/boot-entry.ts";

/** Boot requests in the name of a node whose OS was up, and what is made of them. */
export type UnarmedRequest = {
  /** Of the requests that go on, or went on last. */
  since: number;
  lastAt: number;
  times: number;
  finding: string;
  remedy: string;
};

/** By the boot entry that was not armed, in memory: they go when it is armed, replaced or removed. */
export type UnarmedRequests = WeakMap<BootEntry, UnarmedRequest>;
