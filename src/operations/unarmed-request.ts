/** Boot requests in the name of a node whose OS was up, and what is made of them. */
export type UnarmedRequest = {
  /** Of the requests that go on, or went on last. */
  since: number;
  lastAt: number;
  times: number;
  finding: string;
  remedy: string;
};

/** By node id: one for each node with a boot entry at most, in memory. */
export type UnarmedRequests = Map<string, UnarmedRequest>;
