import { readFileSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Node, Operation } from "../../../src/cli/answers.ts";
import { ApiClient } from "../../../src/cli/api-client.ts";
import type { ClientFacts } from "./appliance.ts";

/** What `runClient` told this program. */
export const facts = JSON.parse(process.argv[2] as string) as ClientFacts;
export const api = new ApiClient({ socket: facts.apiSocket });
/** Asked more often, a question and its answer would take a processor to themselves. */
const LOOK_EVERY_MS = 4;

/** How late ingotd's event loop was since the last call. */
export async function loopDelay(): Promise<{ p99Ms: number; maxMs: number }> {
  rmSync(facts.ingotd.loopDelayFile, { force: true });
  process.kill(facts.ingotd.pid, "SIGUSR2");
  for (let tries = 0; tries < 500; tries++) {
    await sleep(10);
    try {
      return JSON.parse(readFileSync(facts.ingotd.loopDelayFile, "utf8"));
    } catch {
      // not written yet
    }
  }
  throw new Error("ingotd does not tell its event loop's delay");
}

/** Waits until the operation has come to its end, which must be `done`. */
export async function ended(operation: Operation): Promise<Operation> {
  for (let now = operation; ; ) {
    if (now.state === "done") return now;
    if (now.state !== "running") throw new Error(`${now.summary}: ${now.state}: ${JSON.stringify(now.steps)}`);
    now = await api.get<Operation>(`/v1/operations/${now.id}?waitSeconds=20`);
  }
}

/** Waits until a step of the operation is in this state. Many that ask often would measure their own questions. */
export async function reached(
  operation: Operation,
  step: string,
  state: string,
  everyMs = LOOK_EVERY_MS,
): Promise<void> {
  for (;;) {
    const now = await api.get<Operation>(`/v1/operations/${operation.id}`);
    if (now.steps.find((one) => one.name === step)?.state === state) return;
    if (now.state !== "running") throw new Error(`${now.summary}: ${now.state}: ${JSON.stringify(now.steps)}`);
    await sleep(everyMs);
  }
}

/** Plays the operator of a node without a BMC: what is asked for is done at once. */
export async function confirm(node: string): Promise<void> {
  for (;;) {
    try {
      await api.post(`/v1/nodes/${node}/power/confirm`);
      return;
    } catch (error) {
      if ((error as { code?: string }).code !== "CONFLICT") throw error;
      await sleep(1);
    }
  }
}

/** Has a node without a BMC switched off, and seen off. */
export async function switchOff(node: string): Promise<void> {
  const operation = await api.post<Operation>(`/v1/nodes/${node}/power`, { action: "off" });
  await confirm(node);
  await ended(operation);
}

/** Waits until the appliance has seen a node read so many bytes of its disk. */
export async function hasRead(node: string, bytes: number): Promise<void> {
  for (;;) {
    const { boots } = await api.get<Node>(`/v1/nodes/${node}`);
    if (boots && boots.readBytes >= bytes) return;
    await sleep(50);
  }
}
