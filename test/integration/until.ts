import { setTimeout as sleep } from "node:timers/promises";

/** Asks again and again until the answer is yes; fails with `what` at the deadline. */
export async function until(what: string, ask: () => Promise<boolean> | boolean, deadlineMs = 15_000): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!(await ask())) {
    if (Date.now() >= deadline) throw new Error(`${what}: not within ${deadlineMs} ms`);
    await sleep(20);
  }
}
