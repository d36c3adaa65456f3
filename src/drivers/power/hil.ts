import { ApplianceError, isApplianceError } from "../../errors.ts";
import { abortedError, driverFailed } from "../failure.ts";
import { type HilCall, type HilClient, networkReason } from "../isolation/hil-client.ts";
import { disableObm, enableObm } from "../isolation/hil-obm.ts";
import { HilNode } from "../isolation/hil-views.ts";
import type { Turns } from "../turns.ts";
import type { PowerControl } from "./power-control.ts";

type Verb = { method: "GET" | "PUT" | "POST"; verb: string; body?: Record<string, unknown>; action: string };

const SHUT_MS = 10_000;

/** What all that go through HIL share: whose turn it is at a node, and at an OBMd, which has one lock for all its nodes. */
export type HilPowerShared = {
  turns: Turns;
  /** Deadline of one call to OBMd, once it is its turn. */
  obmSeconds: number;
};

/**
 * Power through HIL's OBM: HIL sends on to OBMd, the service that holds the BMC's password, with a token in the address
 * that is good until the OBM is enabled anew. Also FORBIDDEN and NOT_FOUND, as HIL says. No address of OBMd is in an error.
 */
export class HilPower implements PowerControl {
  readonly #node: string;
  readonly #client: HilClient;
  readonly #shared: HilPowerShared;

  constructor(node: string, client: HilClient, shared: HilPowerShared) {
    this.#node = node;
    this.#client = client;
    this.#shared = shared;
  }

  async status(signal: AbortSignal): Promise<"on" | "off"> {
    const action = `ask for the power of ${this.#node}`;
    const text = await this.#do({ method: "GET", verb: "power_status", action }, signal);
    const [, state] = /^\s*\{\s*"power_status"\s*:\s*"(on|off)"\s*\}\s*$/.exec(text) ?? [];
    if (state === "on" || state === "off") return state;
    throw driverFailed("hil", action, "OBMd answered neither on nor off", {
      details: { node: this.#node, output: text.slice(0, 200), remedy: "look at the node's driver in OBMd" },
    });
  }

  async on(signal: AbortSignal): Promise<void> {
    await this.#do({ method: "POST", verb: "power_on", action: `switch ${this.#node} on` }, signal);
  }

  async off(signal: AbortSignal): Promise<void> {
    await this.#do({ method: "POST", verb: "power_off", action: `switch ${this.#node} off` }, signal);
  }

  /** HIL knows no other way than to cut the power: UNSUPPORTED for a machine that runs. */
  async softOff(signal: AbortSignal): Promise<void> {
    if ((await this.status(signal)) === "off") return;
    throw this.#unsupported("HIL can't ask an OS to shut down", `ingot node power ${this.#node} off`);
  }

  /** Only of a machine that is seen on: OBMd makes of a restart that the BMC refuses a start. */
  async reset(signal: AbortSignal): Promise<void> {
    if ((await this.status(signal)) === "off") return;
    const body = { force: true };
    await this.#do({ method: "POST", verb: "power_cycle", body, action: `restart ${this.#node}` }, signal);
  }

  /** HIL does not show a BMC's log: UNSUPPORTED. */
  async sinceRestart(): Promise<never> {
    throw this.#unsupported("HIL does not tell when a machine was restarted", `ingot node power ${this.#node} reset`);
  }

  /** HIL can't say which firmware is meant: the BMC keeps the one that the machine is set to. */
  async setBootDevice(device: "network" | "disk", _firmware: "bios" | "uefi", signal: AbortSignal): Promise<void> {
    const body = { bootdev: device === "network" ? "pxe" : "disk" };
    const action = `let ${this.#node} boot from ${device}`;
    await this.#do({ method: "PUT", verb: "boot_device", body, action }, signal);
  }

  #unsupported(message: string, remedy: string): ApplianceError {
    return new ApplianceError("UNSUPPORTED", `${this.#node}: ${message}`, {
      details: { driver: "hil", node: this.#node, remedy },
    });
  }

  /** Does one verb in the node's turn, and answers what OBMd said. The OBM is enabled when it is not, or when its token is dead. */
  async #do(verb: Verb, signal: AbortSignal): Promise<string> {
    return await this.#inTurn(`${this.#client.url} ${this.#node}`, verb, signal, async () => {
      let isEnabled = false;
      try {
        for (;;) {
          const address = await this.#address(verb, signal);
          const answer = address === undefined ? undefined : await this.#follow(verb, address, signal);
          if (answer !== undefined) return answer;
          if (isEnabled) throw this.#failed(verb, "OBMd does not take the token that it gave HIL", true);
          isEnabled = true;
          await this.#enable(signal);
        }
      } finally {
        if (isEnabled) await this.#disableUnlessHad();
      }
    });
  }

  /** An admin of HIL may enable the OBM of a node that nobody has, or has any more: whoever gets it next must not find it so. */
  async #disableUnlessHad(): Promise<void> {
    const signal = AbortSignal.timeout(SHUT_MS);
    try {
      const { project } = await this.#client.get(["node", this.#node], HilNode, `read node ${this.#node}`, signal);
      if (project === null) await disableObm(this.#client, this.#node, signal);
    } catch {
      // what was asked for was done or has failed by itself
    }
  }

  #inTurn<T>(key: string, { action }: Verb, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
    return this.#shared.turns.take(key, run, signal).catch((error) => {
      throw isApplianceError(error) || !signal.aborted ? error : abortedError(signal, "hil", action);
    });
  }

  /** Where HIL sends for a verb; undefined while the OBM is not enabled. */
  async #address({ method, verb, body, action }: Verb, signal: AbortSignal): Promise<string | undefined> {
    const path = ["node", this.#node, verb];
    const call: HilCall = { method, path, action, ...(body && { body }) };
    try {
      const { location } = await this.#client.call(call, signal);
      if (location !== undefined && URL.canParse(location)) return location;
    } catch (error) {
      if (isApplianceError(error, "CONFLICT")) return undefined;
      throw error;
    }
    throw this.#failed({ action }, "HIL does not say where OBMd is", false);
  }

  async #enable(signal: AbortSignal): Promise<void> {
    try {
      await enableObm(this.#client, this.#node, signal);
    } catch (error) {
      if (!isApplianceError(error, "DRIVER_FAILED")) throw error;
      throw this.#failed({ action: `enable the OBM of ${this.#node}` }, "HIL can't make OBMd do it", true, error);
    }
  }

  /** Sends the verb where HIL said, in its turn; undefined when the token in that address is dead. */
  #follow(verb: Verb, address: string, signal: AbortSignal): Promise<string | undefined> {
    return this.#inTurn(new URL(address).origin, verb, signal, () => {
      const deadline = AbortSignal.timeout(this.#shared.obmSeconds * 1000);
      return this.#send(verb, address, AbortSignal.any([signal, deadline]));
    });
  }

  /** Without our credentials: the address alone is the right. */
  async #send({ method, body, action }: Verb, address: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      const answer = await fetch(address, {
        method,
        ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
        redirect: "manual",
        signal,
      });
      const text = await answer.text();
      if (answer.ok) return text;
      if (answer.status === 401) return undefined;
      if (answer.status === 400) throw this.#unsupported(`${action}: its driver in OBMd can't`, "look at it in OBMd");
      if (answer.status === 404) throw this.#failed({ action }, "OBMd does not know the node", false);
      throw this.#failed({ action }, `OBMd failed (${answer.status}), as it does when the BMC refuses`, true);
    } catch (error) {
      if (isApplianceError(error)) throw error;
      if (signal.aborted) throw abortedError(signal, "hil", action);
      throw new ApplianceError("UNAVAILABLE", `${action}: no answer from the OBMd that HIL sends us to`, {
        details: {
          driver: "hil",
          action,
          node: this.#node,
          reason: networkReason(error),
          remedy: "look whether OBMd runs, and is reachable from here",
        },
      });
    }
  }

  #failed({ action }: { action: string }, message: string, retryable: boolean, cause?: unknown): ApplianceError {
    const remedy = "look at OBMd's log, and whether it knows the node and its BMC's password";
    return driverFailed("hil", action, message, { details: { node: this.#node, remedy }, retryable, cause });
  }
}
