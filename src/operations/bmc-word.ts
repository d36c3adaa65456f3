import type { BootEntry } from "../boot/boot-entry.ts";
import { toApplianceError } from "../errors.ts";
import type { Appliance } from "./appliance.ts";

const EVERY_MS = 10_000;
/** A BMC takes a second to answer, and each answer a process: a whole rack asks its BMCs a few at a time. */
const AT_A_TIME = 8;

/** What a node's BMC says of its restarts. */
export type Word = { isRestarted: boolean; finding: string; remedy: string };

type Asked = Word & { entry: BootEntry; at: number };

/** Asks BMCs whether their nodes were restarted since their OS came up, in the background, each every ten seconds at most. */
export class BmcWord {
  readonly #appliance: Appliance;
  readonly #stop: AbortSignal;
  readonly #asked = new WeakMap<BootEntry, Asked>();
  #underWay = 0;

  constructor(appliance: Appliance, stop: AbortSignal) {
    this.#appliance = appliance;
    this.#stop = stop;
  }

  /** The last word about this boot entry; asks anew for later where that is old. */
  ask(entry: BootEntry, now: number): Word {
    const remedy = `ingot node power ${entry.nodeName} reset`;
    const asked = this.#asked.get(entry) ?? { entry, at: 0, isRestarted: false, finding: "its BMC is asked", remedy };
    this.#asked.set(entry, asked);
    if (!asked.isRestarted && now - asked.at >= EVERY_MS && this.#underWay < AT_A_TIME) {
      asked.at = now;
      void this.#askNow(asked);
    }
    const { isRestarted, finding } = asked;
    return { isRestarted, finding, remedy: asked.remedy };
  }

  async #askNow(asked: Asked): Promise<void> {
    const { nodes, powerOf, config, clock } = this.#appliance;
    const deadline = AbortSignal.timeout(config.operations.bmcSeconds * 1000);
    this.#underWay += 1;
    try {
      const age = await powerOf(nodes.get(asked.entry.node)).sinceRestart(AbortSignal.any([this.#stop, deadline]));
      asked.isRestarted = age !== undefined && clock.now() - age * 1000 > (asked.entry.disarmedAt ?? 0);
      asked.finding = "its BMC tells of no restart since its OS came up";
    } catch (error) {
      const { message, details } = toApplianceError(error);
      asked.finding = message;
      if (typeof details.remedy === "string") asked.remedy = details.remedy;
    } finally {
      this.#underWay -= 1;
    }
  }
}
