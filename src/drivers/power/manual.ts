import { ApplianceError } from "../../errors.ts";
import type { PowerControl } from "./power-control.ts";

/** What an operator is asked to do at a machine without a BMC, and to see done. */
export type OperatorAction = "switch-on" | "switch-off" | "shut-down" | "restart";

/** Resolves once an operator says that it is done; rejects with the signal's reason when aborted. */
export type ConfirmByOperator = (
  request: { node: string; action: OperatorAction },
  signal: AbortSignal,
) => Promise<void>;

/**
 * Power by an operator's hands. Every verb asks, also when it was asked before: what somebody confirmed yesterday
 * says nothing about the machine today.
 */
export class ManualPower implements PowerControl {
  readonly #node: string;
  readonly #confirm: ConfirmByOperator;
  readonly #confirmed: Map<string, "on" | "off">;

  constructor(node: string, confirm: ConfirmByOperator, confirmed: Map<string, "on" | "off">) {
    this.#node = node;
    this.#confirm = confirm;
    this.#confirmed = confirmed;
  }

  /** What was confirmed last; `on` until somebody said something, so that nobody takes an unseen machine for fenced. */
  async status(): Promise<"on" | "off"> {
    return this.#confirmed.get(this.#node) ?? "on";
  }

  on(signal: AbortSignal): Promise<void> {
    return this.#ask("switch-on", "on", signal);
  }

  off(signal: AbortSignal): Promise<void> {
    return this.#ask("switch-off", "off", signal);
  }

  softOff(signal: AbortSignal): Promise<void> {
    return this.#ask("shut-down", "off", signal);
  }

  async reset(signal: AbortSignal): Promise<void> {
    if (this.#confirmed.get(this.#node) !== "off") await this.#ask("restart", "on", signal);
  }

  /** Nobody saw it: UNSUPPORTED. */
  async sinceRestart(): Promise<never> {
    throw new ApplianceError("UNSUPPORTED", `${this.#node} has no BMC that tells of restarts`, {
      details: {
        node: this.#node,
        remedy: `ingot node power ${this.#node} reset, then ingot node confirm ${this.#node}`,
      },
    });
  }

  /** Nothing to do: such a machine boots from the network first, always, and is sent on to its disk from there. */
  async setBootDevice(): Promise<void> {}

  async #ask(action: OperatorAction, outcome: "on" | "off", signal: AbortSignal): Promise<void> {
    // Between question and answer it may be either.
    this.#confirmed.delete(this.#node);
    await this.#confirm({ node: this.#node, action }, signal);
    this.#confirmed.set(this.#node, outcome);
  }
}
