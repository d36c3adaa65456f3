import { z } from "@hono/zod-openapi";

/** A moment as answers carry it (RFC 3339). */
export const momentSchema = z.iso.datetime().openapi({ example: "2026-11-20T13:42:00.000Z" });

/** Milliseconds since the epoch as answers carry them. */
export function moment(ms: number): string {
  return new Date(ms).toISOString();
}

/** The same for a moment that may not have come yet. */
export function momentIfAny(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : moment(ms);
}
