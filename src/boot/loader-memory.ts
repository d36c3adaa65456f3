/**
 * What the boots of a NIC taught about our loaders. Each boot carries it to the next one (`BootSession.taught`), so it
 * outlives the boots that are kept, costs nothing of its own, and goes with the node.
 */
export type LoaderMemory = {
  /** Loaders that led to a script, the latest first. */
  proven: readonly string[];
  /** The loader that the last attempt got stuck after, or that led to a script and to no disk often enough. */
  failed?: string;
  /** Boots in a row that began by themselves, shortly after each other, and came to nothing; see `loopOf`. */
  rounds: number;
  /** When the last of them was over. */
  roundedAt: number;
  /** Whether that one had got its script. */
  reachedScript: boolean;
};

/** What a boot that is over shows: which loader it fetched, how far that led, and how it ended. */
export type Attempt = {
  startedAt: number;
  lastAt: number;
  /** The loader that was sent to the end last, and when. */
  loader?: { file: string; at: number } | undefined;
  /** Our script was sent to it, by way of that loader if there was one. */
  reachedScript: boolean;
  /** It was sent on its way to a disk: by a loader or by its script. */
  wasSentToBoot: boolean;
  /** iPXE or the OS logged in, or the OS said that it is up. */
  reachedDisk: boolean;
  /** When the power was cut or the machine reset through us; undefined when the machine itself came round. */
  cutAt?: number | undefined;
};

/** Which of the loaders, and why when it is not the first that is configured. */
export type LoaderChoice = { file: string; why?: string };

/** Why a boot is held: rounds so far, and what each of them ended after. */
export type BootLoop = { rounds: number; after: "loader" | "script" };

const NOTHING: LoaderMemory = { proven: [], rounds: 0, roundedAt: 0, reachedScript: false };

const MAX_PROVEN = 4;
/**
 * An iPXE asks for its script well within this time of its fetch. A port without portfast may take longer: a boot cut
 * short there costs one attempt with the other loader.
 */
const STUCK_MS = 30_000;
/** An iPXE that gets its script and can't log in may be at fault itself: after so many rounds another one is tried. */
const ROUNDS_PER_LOADER = 2;
/** Two loaders have failed twice each. */
const LOOP_ROUNDS = 4;
/** The longest that a round takes: a large server's self-test, and a boot. After as much quiet it is tried again. */
const QUIET_MS = 15 * 60_000;

/** What is known when the boot after `attempt` begins, at `now`. */
export function learn(memory: LoaderMemory = NOTHING, attempt: Attempt, now: number): LoaderMemory {
  const counted = countRound(memory, attempt, now);
  return { ...learnLoader(memory, attempt, counted.rounds), ...counted };
}

/**
 * The loader for the boot that begins with this memory: the one that worked last, else the first that is configured;
 * after a failure the one that follows the failed one in that order. Undefined when none is configured.
 */
export function chooseLoader(files: readonly string[], memory: LoaderMemory = NOTHING): LoaderChoice | undefined {
  const proven = memory.proven.filter((file) => files.includes(file));
  const order = [...proven, ...files.filter((file) => !proven.includes(file))];
  const { failed } = memory;
  const next = order[(order.indexOf(failed ?? "") + 1) % order.length];
  if (next === undefined) return undefined;
  if (failed !== undefined && failed !== next && order.includes(failed)) {
    return { file: next, why: `${failed} led nowhere in the last attempt` };
  }
  return next === files[0] ? { file: next } : { file: next, why: "it worked in an earlier boot" };
}

/** The loop that a boot with this memory goes on with at `now`, if any. */
export function loopOf(memory: LoaderMemory | undefined, now: number): BootLoop | undefined {
  if (!memory || memory.rounds < LOOP_ROUNDS || now - memory.roundedAt >= QUIET_MS) return undefined;
  return { rounds: memory.rounds, after: memory.reachedScript ? "script" : "loader" };
}

function learnLoader(memory: LoaderMemory, attempt: Attempt, rounds: number): Pick<LoaderMemory, "proven" | "failed"> {
  const { proven, failed } = memory;
  const { loader, reachedScript, wasSentToBoot, cutAt } = attempt;
  const kept = failed === undefined ? { proven } : { proven, failed };
  if (!loader) return kept;
  const { file } = loader;
  if (reachedScript) {
    const led = { proven: [file, ...proven.filter((one) => one !== file)].slice(0, MAX_PROVEN) };
    const hadItsTurn = wasSentToBoot && rounds > 0 && rounds % ROUNDS_PER_LOADER === 0;
    return hadItsTurn ? { ...led, failed: file } : led;
  }
  // one that had no time to show what it can do gets it again
  const isStuck = cutAt === undefined || cutAt - loader.at >= STUCK_MS;
  return isStuck ? { proven, failed: file } : kept;
}

function countRound(memory: LoaderMemory, attempt: Attempt, now: number) {
  const { startedAt, lastAt, reachedScript, wasSentToBoot, reachedDisk, cutAt } = attempt;
  const none = { rounds: 0, roundedAt: 0, reachedScript: false };
  if (cutAt !== undefined || reachedDisk || now - lastAt >= QUIET_MS) return none;
  const goesOn = startedAt - memory.roundedAt < QUIET_MS;
  if (wasSentToBoot) return { rounds: (goesOn ? memory.rounds : 0) + 1, roundedAt: now, reachedScript };
  if (!goesOn) return none;
  // a boot that was held
  return { rounds: memory.rounds, roundedAt: memory.roundedAt, reachedScript: memory.reachedScript };
}
