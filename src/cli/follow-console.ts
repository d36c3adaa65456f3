import { setTimeout as pause } from "node:timers/promises";
import { isApplianceError } from "../errors.ts";
import type { ApiClient } from "./api-client.ts";

/** So long an appliance that restarts is waited for. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 1_000;

/**
 * Hands on what a serial line says, from a place in its log on, until the signal fires. Goes on where it was when the
 * stream ends: the API ends it now and then, and ingotd may restart.
 */
export async function followConsole(
  api: ApiClient,
  path: string,
  from: number,
  show: (bytes: Buffer) => void,
  signal: AbortSignal,
): Promise<void> {
  let position = from;
  let heardAt = Date.now();
  while (!signal.aborted) {
    try {
      const { headers, body } = await api.stream(`${path}?follow=true&from=${position}`, signal);
      heardAt = Date.now();
      position = Number(headers["ingot-console-start"] ?? position);
      for await (const chunk of body as AsyncIterable<Buffer>) {
        position += chunk.length;
        show(chunk);
        heardAt = Date.now();
      }
    } catch (error) {
      if (signal.aborted) return;
      const isBreak = isApplianceError(error, "UNAVAILABLE") || (error as NodeJS.ErrnoException).code !== undefined;
      if (!isBreak || Date.now() - heardAt > PATIENCE_MS) throw error;
      await pause(PAUSE_MS, undefined, { signal }).catch(() => {});
    }
  }
}
