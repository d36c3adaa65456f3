import pLimit from "p-limit";
import type { BootEntry } from "../boot/boot-entry.ts";
import { toApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";

const EVERY_MS = 10_000;
/** A BMC takes a second to answer, and each answer a process: a whole rack asks its BMCs a few at a time. */
const AT_A_TIME = 8;

/** What a node's BMC says of its restarts. */
export type Word = { isRestarted: boolean; finding: string; remedy: string };

/** `nextAt`: when to ask anew; never while the answer to the last question is out. */
type Asked = Word & { entry: BootEntry; nextAt: number };

/**
 * Asks BMCs whether their nodes were restarted since their OS came up, in the background, each every ten seconds at most,
 * and in turn: those that are dead and take all their time keep nobody from the others.
 */
export class BmcWord {
  readonly #appliance: Appliance;
  readonly #stop: AbortSignal;
  readonly #asked = new WeakMap<BootEntry, Asked>();
  readonly #inTurn = pLimit(AT_A_TIME);

  constructor(appliance: Appliance, stop: AbortSignal) {
    this.#appliance = appliance;
    this.#stop = stop;
  }

  /** The last word about this boot entry; asks anew for later where that is old. */
  ask(entry: BootEntry, now: number): Word {
    const remedy = `ingot node power ${entry.nodeName} reset`;
    const asked = this.#asked.get(entry) ?? {
      entry,
      nextAt: 0,
      isRestarted: false,
      finding: "its BMC is asked",
      remedy,
    };
    this.#asked.set(entry, asked);
    if (!asked.isRestarted && now >= asked.nextAt) {
      asked.nextAt = Number.POSITIVE_INFINITY;
      void this.#inTurn(() => this.#askNow(asked));
    }
    const { isRestarted, finding } = asked;
    return { isRestarted, finding, remedy: asked.remedy };
  }

  async #askNow(asked: Asked): Promise<void> {
    const { nodes, powerOf, config, clock } = this.#appliance;
    const deadline = AbortSignal.timeout(config.operations.bmcSeconds * 1000);
    try {
      const age = await powerOf(nodes.get(asked.entry.node)).sinceRestart(AbortSignal.any([this.#stop, deadline]));
      asked.isRestarted = age !== undefined && clock.now() - age * 1000 > (asked.entry.disarmedAt ?? 0);
      asked.finding = "its BMC tells of no restart since its OS came up";
    } catch (error) {
      const { message, details } = toApplianceError(error);
      asked.finding = message;
      if (typeof details.remedy === "string") asked.remedy = details.remedy;
    } finally {
      asked.nextAt = clock.now() + EVERY_MS;
    }
  }
}
