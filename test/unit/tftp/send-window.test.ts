import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  beginSending,
  blockAcked,
  blocksSent,
  type SendWindow,
  sendLimit,
  timedOut,
  timeoutMs,
} from "../../../src/tftp/send-window.ts";

type Start = { last?: number; windowBlocks?: number; oack?: boolean; timeoutSeconds?: number };

/** A window under test: tells which blocks each event lets out, "-" for none. */
class Sender {
  window: SendWindow;

  constructor({ last = 100, windowBlocks = 1, oack = false, timeoutSeconds }: Start) {
    this.window = beginSending({ last, windowBlocks, oack, timeoutSeconds });
  }

  send(at = 0): string {
    const from = this.window.sent + 1;
    const to = sendLimit(this.window);
    if (this.window.phase !== "sending" || to < from) return "-";
    this.window = blocksSent(this.window, to, at);
    return from === to ? `${from}` : `${from}-${to}`;
  }

  ack(wire: number, at = 0): string {
    this.window = blockAcked(this.window, wire, at);
    return this.send(at);
  }

  timeout(): string {
    this.window = timedOut(this.window);
    return this.send();
  }
}

/** What is done, and which blocks go out for it. */
type Line = ["start" | "timeout" | number, sends: string];

const TABLES: { what: string; start: Start; lines: Line[]; phase?: string }[] = [
  {
    what: "one block after the other",
    start: { last: 3 },
    lines: [
      ["start", "1"],
      [1, "2"],
      [2, "3"],
      [3, "-"],
    ],
    phase: "done",
  },
  {
    what: "the OACK first, as block 0",
    start: { last: 3, windowBlocks: 2, oack: true },
    lines: [
      ["start", "0"],
      ["timeout", "0"],
      [0, "1-2"],
      [2, "3"],
      [3, "-"],
    ],
    phase: "done",
  },
  {
    what: "a duplicated ACK of a lock-step transfer sends nothing",
    start: { last: 9 },
    lines: [
      ["start", "1"],
      [1, "2"],
      [1, "-"],
      [2, "3"],
      [1, "-"],
      [2, "-"],
      ["timeout", "3"],
    ],
  },
  {
    what: "a lost block in a window: sending goes back to it",
    start: { windowBlocks: 4 },
    lines: [
      ["start", "1-4"],
      [2, "3-6"],
      [6, "7-10"],
    ],
  },
  {
    what: "the ACKs that echo one loss are answered once",
    start: { windowBlocks: 4 },
    lines: [
      ["start", "1-4"],
      [2, "3-6"],
      [2, "-"],
      [2, "-"],
      [6, "7-10"],
      [6, "-"],
      [10, "11-14"],
      [10, "11-14"],
      [10, "-"],
    ],
  },
  {
    what: "a block that came twice: the echoes of what is sent again are not answered again",
    start: { windowBlocks: 4 },
    lines: [
      ["start", "1-4"],
      [1, "2-5"], // block 1 came twice; 2 to 4 were not lost
      [4, "6-8"], // 2 came again; 5 is under way
      [4, "-"],
      [8, "9-12"],
    ],
  },
  {
    what: "the first block of a window lost",
    start: { windowBlocks: 4 },
    lines: [
      ["start", "1-4"],
      [4, "5-8"],
      [4, "5-8"],
      [4, "-"],
      [8, "9-12"],
    ],
  },
  {
    what: "ACKs from the past and from the future change nothing",
    start: { windowBlocks: 4 },
    lines: [
      ["start", "1-4"],
      [4, "5-8"],
      [3, "-"],
      [9, "-"],
      [65535, "-"],
      [8, "9-12"],
    ],
  },
  {
    what: "an ACK of blocks sent before going back counts",
    start: { windowBlocks: 4 },
    lines: [
      ["start", "1-4"],
      [1, "2-5"],
      ["timeout", "2-5"],
      [5, "6-9"],
    ],
  },
  {
    what: "a window that ends with the file",
    start: { last: 6, windowBlocks: 4 },
    lines: [
      ["start", "1-4"],
      [4, "5-6"],
      ["timeout", "5-6"],
      [6, "-"],
    ],
    phase: "done",
  },
];

describe("the send window", () => {
  it.each(TABLES)("handles $what", ({ start, lines, phase = "sending" }) => {
    const sender = new Sender(start);
    const seen = lines.map(([event]): Line => {
      if (event === "start") return [event, sender.send()];
      return [event, event === "timeout" ? sender.timeout() : sender.ack(event)];
    });
    expect(seen).toEqual(lines);
    expect(sender.window.phase).toBe(phase);
  });

  it("rolls block numbers over to 0, as often as needed", () => {
    const sender = new Sender({ last: 200_000, windowBlocks: 1 });
    sender.send();
    for (let block = 1; block <= 200_000; block++) sender.ack(block & 0xffff);
    expect(sender.window).toMatchObject({ phase: "done", acked: 200_000, retransmissions: 0 });
  });

  it("counts blocks sent again, and none else", () => {
    const sender = new Sender({ windowBlocks: 4 });
    sender.send();
    sender.ack(2); // 3-6: 3 and 4 again
    sender.timeout(); // 3-6 again
    expect(sender.window.retransmissions).toBe(6);
  });

  it("gives a client that never answered up after ten seconds, whatever timeout it asked for", () => {
    for (const [timeoutSeconds, timeouts] of [
      [undefined, 4],
      [1, 10],
      [255, 1],
    ] as const) {
      const sender = new Sender({ oack: true, ...(timeoutSeconds ? { timeoutSeconds } : {}) });
      sender.send();
      for (let count = 1; count < timeouts; count++) expect(sender.timeout()).toBe("0");
      expect(sender.timeout()).toBe("-");
      expect(sender.window.phase).toBe("given-up");
    }
  });

  it("waits twice as long after each timeout, then gives up after half a minute", () => {
    const sender = new Sender({});
    sender.send();
    sender.ack(1, 1_000_000);
    const waits: number[] = [];
    while (sender.window.phase === "sending") {
      waits.push(timeoutMs(sender.window));
      sender.timeout();
    }
    expect(sender.window.phase).toBe("given-up");
    expect(waits.slice(0, 5)).toEqual([1000, 2000, 4000, 5000, 5000]);
    const total = waits.reduce((sum, wait) => sum + wait);
    expect(total).toBeGreaterThanOrEqual(30_000);
    expect(total).toBeLessThan(40_000);
  });

  it("begins anew with patience after an ACK", () => {
    const sender = new Sender({});
    sender.send();
    sender.ack(1, 1_000_000);
    for (let count = 0; count < 5; count++) sender.timeout();
    sender.ack(2);
    expect(timeoutMs(sender.window)).toBe(1000);
    for (let count = 0; count < 5; count++) sender.timeout();
    expect(sender.window.phase).toBe("sending");
  });

  it("keeps to the client's own timeout, and to at least three retransmissions", () => {
    const sender = new Sender({ timeoutSeconds: 60 });
    sender.send();
    sender.ack(1);
    expect([sender.timeout(), sender.timeout(), sender.timeout()]).toEqual(["2", "2", "2"]);
    expect(timeoutMs(sender.window)).toBe(60_000);
    sender.timeout();
    expect(sender.window.phase).toBe("given-up");
  });

  it("learns the round trip, but not from what it sent twice (Karn)", () => {
    const sender = new Sender({});
    sender.send(1000);
    sender.ack(1, 1050);
    expect(timeoutMs(sender.window)).toBe(200);
    sender.timeout();
    sender.ack(2, 9000);
    expect(timeoutMs(sender.window)).toBe(200);
    sender.ack(3, 9001);
    expect(timeoutMs(sender.window)).toBeLessThan(200);
  });

  it("is not upset by a wall clock that jumps", () => {
    for (const at of [-1e12, 1e12]) {
      const sender = new Sender({});
      sender.send(0);
      sender.ack(1, at);
      expect(timeoutMs(sender.window)).toBeGreaterThanOrEqual(100);
      expect(timeoutMs(sender.window)).toBeLessThanOrEqual(1000);
    }
  });

  it("does not lose patience while nothing is under way", () => {
    let window = beginSending({ last: 5, windowBlocks: 1, oack: false, timeoutSeconds: undefined });
    for (let count = 0; count < 100; count++) window = timedOut(window);
    expect(window.phase).toBe("sending");
  });
});

type Network = { loss: number; duplicates: number; disorder: number };

/**
 * A whole transfer over a bad network to a client that does as RFC 7440 4 says and, like many, acknowledges *every*
 * block it did not expect. Answers the blocks sent per block of the file, or fails when the transfer does not end.
 */
function simulate(last: number, windowBlocks: number, network: Network, random: () => number): number {
  type Arrival = { at: number; order: number; toClient: boolean; block: number };
  const flying: Arrival[] = [];
  let order = 0;
  let sends = 0;
  let now = 0;
  const fly = (toClient: boolean, block: number) => {
    // who hears nothing for long gives up, and rightly: bad luck has an end here
    if (window.timeouts < 3 && random() < network.loss) return;
    for (let copies = random() < network.duplicates ? 2 : 1; copies > 0; copies--) {
      flying.push({ at: now + 5 + (random() < network.disorder ? random() * 3 : 0), order: order++, toClient, block });
    }
  };

  let window = beginSending({ last, windowBlocks, oack: false, timeoutSeconds: undefined });
  let deadline = 0;
  const send = () => {
    const to = sendLimit(window);
    for (let block = window.sent + 1; block <= to; block++, sends++) fly(true, block);
    if (to > window.sent) window = blocksSent(window, to, now);
    deadline = now + timeoutMs(window);
  };

  let expected = 1;
  let inWindow = 0;
  const receive = (block: number) => {
    if (block === expected) {
      expected++;
      inWindow++;
      if (inWindow < windowBlocks && block !== last) return;
    }
    inWindow = 0;
    fly(false, expected - 1);
  };

  send();
  while (window.phase === "sending") {
    flying.sort((one, other) => other.at - one.at || other.order - one.order);
    const next = flying.at(-1);
    if (!next || next.at > deadline) {
      now = deadline;
      window = timedOut(window);
      send();
      continue;
    }
    flying.pop();
    now = next.at;
    if (next.toClient) receive(next.block);
    else {
      const before = window;
      window = blockAcked(window, next.block, now);
      if (window !== before) send();
    }
    if (sends > last * 50) throw new Error("the transfer does not end");
  }
  if (window.phase === "done" && expected !== last + 1) throw new Error("done, but the client lacks blocks");
  if (window.phase === "given-up") throw new Error("given up");
  return sends / last;
}

/** Numbers from 0 to 1, the same for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe("a transfer over a bad network", () => {
  it("arrives whole, whatever is lost, doubled or out of order", () => {
    const share = (max: number) => fc.double({ min: 0, max, noNaN: true });
    const property = fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.constantFrom(1, 2, 4, 16, 64),
      fc.record({ loss: share(0.2), duplicates: share(0.2), disorder: share(0.2) }),
      fc.integer(),
      (last, windowBlocks, network, seed) => void simulate(last, windowBlocks, network, randomFrom(seed)),
    );
    fc.assert(property, { numRuns: 100 });
  });

  it("sends no block twice in lock-step, even when every packet arrives twice", () => {
    expect(simulate(2000, 1, { loss: 0, duplicates: 1, disorder: 0 }, randomFrom(1))).toBe(1);
  });

  it.each([4, 16, 64])("soon calms down after packets that arrive twice, with windows of %i", (windowBlocks) => {
    expect(simulate(5000, windowBlocks, { loss: 0, duplicates: 0.01, disorder: 0 }, randomFrom(1))).toBeLessThan(1.5);
  });

  it.each([
    { windowBlocks: 1, most: 1.2 },
    { windowBlocks: 4, most: 1.4 },
    { windowBlocks: 16, most: 2 },
  ])("at 5% loss with windows of $windowBlocks sends each block less than $most times", ({ windowBlocks, most }) => {
    expect(simulate(5000, windowBlocks, { loss: 0.05, duplicates: 0, disorder: 0 }, randomFrom(1))).toBeLessThan(most);
  });
});
