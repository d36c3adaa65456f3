/**
 * The sending side of one TFTP transfer without sockets, files or timers
 * (RFC 1350, RFC 7440): acknowledgements and timeouts go in, the blocks to send
 * come out. Blocks count from 1 and never wrap; block 0 is the OACK, sent as a
 * window of its own.
 */
export type SendWindow = Readonly<{
  phase: "sending" | "done" | "given-up";
  /** Number of the last block: the first one that is not full. */
  last: number;
  windowBlocks: number;
  /** Everything up to here has arrived; -1 before the OACK did. */
  acked: number;
  /** Whether anything was ever acknowledged: the client is there. */
  answered: boolean;
  /** Everything up to here is under way. */
  sent: number;
  /** Highest block ever sent. */
  peak: number;
  retransmissions: number;
  /** Windows during which a repeated ACK counts as an echo of a past loss, not as news of another. */
  echoWindows: number;
  /** Each time that sending went back since the last undisturbed window: the highest block sent before. */
  echoPeaks: readonly number[];
  /** Timeouts in a row, and the time that they took together. */
  timeouts: number;
  silentMs: number;
  /** The client's own retransmission time (RFC 2349), if it asked for one. */
  fixedTimeoutMs: number | undefined;
  /** Smoothed time from sending a window to its ACK. */
  roundTripMs: number | undefined;
  /** The window being timed: its last block and when that left. Retransmitted windows are not timed (Karn). */
  timed: { block: number; at: number } | undefined;
}>;

const FIRST_TIMEOUT_MS = 1000;
const LEAST_TIMEOUT_MS = 100;
const MOST_TIMEOUT_MS = 5000;
const GIVE_UP_MS = 30_000;
const LEAST_TIMEOUTS = 3;

/** Patience with a client that never answered: it has given us up itself, or its address was forged. */
const UNANSWERED_MS = 10_000;

/** The window sent again, and the one after it, in front of which the echoes of the first arrive. */
const ECHO_WINDOWS = 2;

/** A transfer of blocks 1 to `last`, which begins with the OACK (block 0) if `oack`. */
export function beginSending(options: {
  last: number;
  windowBlocks: number;
  oack: boolean;
  timeoutSeconds: number | undefined;
}): SendWindow {
  const acked = options.oack ? -1 : 0;
  return {
    phase: "sending",
    last: options.last,
    windowBlocks: options.windowBlocks,
    acked,
    answered: false,
    sent: acked,
    peak: acked,
    retransmissions: 0,
    echoWindows: 0,
    echoPeaks: [],
    timeouts: 0,
    silentMs: 0,
    fixedTimeoutMs: options.timeoutSeconds === undefined ? undefined : options.timeoutSeconds * 1000,
    roundTripMs: undefined,
    timed: undefined,
  };
}

/** The last block that may be under way now. */
export function sendLimit(window: SendWindow): number {
  return window.acked < 0 ? 0 : Math.min(window.last, window.acked + window.windowBlocks);
}

/** After blocks up to `block` left, at `at` milliseconds of any steady clock. */
export function blocksSent(window: SendWindow, block: number, at: number): SendWindow {
  const again = Math.max(0, Math.min(block, window.peak) - window.sent);
  return {
    ...window,
    sent: block,
    peak: Math.max(block, window.peak),
    retransmissions: window.retransmissions + again,
    timed: again > 0 ? undefined : { block, at },
  };
}

/**
 * After an ACK with the 16-bit number `wire`. The same object comes back when
 * the ACK changes nothing.
 *
 * A number inside the window means that the block behind it is lost: sending
 * goes back to it (RFC 7440 4). The number just before the window means that its
 * first block is lost. Either may also be the echo of a packet that came twice,
 * and to send again for every echo, which echoes in turn, would double the
 * traffic for good (RFC 1123 4.2.3.1, the "sorcerer's apprentice"). Hence:
 * - An ACK repeated is left to the timeout by windows of one block; larger ones
 *   answer it once, and not again until a whole window passed undisturbed.
 * - After going back, an ACK of just what had been sent before says that nothing
 *   was lost: what follows is on its way already and is not sent again.
 */
export function blockAcked(window: SendWindow, wire: number, at: number): SendWindow {
  if (window.phase !== "sending") return window;
  const block = window.acked + ((wire - window.acked) & 0xffff);
  if (block > window.peak) return window;
  if (block === window.acked) {
    const echo = window.windowBlocks === 1 || window.echoWindows > 0 || window.sent <= window.acked || block < 0;
    return echo ? window : goBack(window);
  }
  const wholeWindow = block >= window.sent;
  const nothingLost = wholeWindow || window.echoPeaks.includes(block);
  return {
    ...window,
    phase: block === window.last ? "done" : "sending",
    acked: block,
    answered: true,
    sent: nothingLost ? Math.max(block, window.sent) : block,
    echoWindows: wholeWindow ? Math.max(0, window.echoWindows - 1) : ECHO_WINDOWS,
    echoPeaks: wholeWindow ? [] : nothingLost ? window.echoPeaks : peaksAbove(window, block),
    timeouts: 0,
    silentMs: 0,
    roundTripMs: smoothed(window, block, at),
    timed: undefined,
  };
}

/** Milliseconds without an ACK after which `timedOut` is due; doubles from one timeout to the next. */
export function timeoutMs(window: SendWindow): number {
  if (window.fixedTimeoutMs !== undefined) return window.fixedTimeoutMs;
  const measured = window.roundTripMs === undefined ? FIRST_TIMEOUT_MS : 4 * window.roundTripMs;
  const first = Math.min(FIRST_TIMEOUT_MS, Math.max(LEAST_TIMEOUT_MS, measured));
  return Math.min(MOST_TIMEOUT_MS, first * 2 ** window.timeouts);
}

/** After `timeoutMs` without an ACK: the window goes out again, or the client is given up. */
export function timedOut(window: SendWindow): SendWindow {
  // Nothing is under way: it is the file that is slow, not the client.
  if (window.phase !== "sending" || window.sent <= window.acked) return window;
  const silentMs = window.silentMs + timeoutMs(window);
  const timeouts = window.timeouts + 1;
  const isOver = window.answered ? silentMs >= GIVE_UP_MS && timeouts > LEAST_TIMEOUTS : silentMs >= UNANSWERED_MS;
  if (isOver) return { ...window, phase: "given-up" };
  return { ...goBack(window), silentMs, timeouts };
}

function goBack(window: SendWindow): SendWindow {
  return {
    ...window,
    sent: window.acked,
    echoWindows: ECHO_WINDOWS,
    echoPeaks: peaksAbove(window, window.acked),
    timed: undefined,
  };
}

/** The peaks that can still be acknowledged, and the newest: one per block of a window at most. */
function peaksAbove(window: SendWindow, block: number): number[] {
  return [...window.echoPeaks.filter((peak) => peak > block && peak !== window.peak), window.peak];
}

function smoothed(window: SendWindow, block: number, at: number): number | undefined {
  if (window.timed === undefined || block < window.timed.block) return window.roundTripMs;
  // Wall clocks may jump: no sample is below zero or above the first timeout.
  const sample = Math.min(FIRST_TIMEOUT_MS, Math.max(0, at - window.timed.at));
  return window.roundTripMs === undefined ? sample : window.roundTripMs + (sample - window.roundTripMs) / 8;
}
