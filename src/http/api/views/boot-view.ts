import { z } from "@hono/zod-openapi";
import { BOOT_STAGES } from "../../../boot/boot-event.ts";
import type { BootSession } from "../../../boot/boot-session.ts";
import type { Stall } from "../../../boot/stall.ts";
import { stallSchema, viewStall } from "./stall-view.ts";
import { moment, momentSchema } from "./text.ts";

const count = z.int().optional();

/** One boot of a node, stage by stage. */
export const bootSchema = z
  .object({
    id: z.string(),
    mac: z.string(),
    network: z.string().optional(),
    firmware: z.string().optional().openapi({ description: "Its class, as its DHCP packets told" }),
    startedAt: momentSchema,
    lastAt: momentSchema,
    stages: z.array(
      z.object({
        stage: z.enum(BOOT_STAGES),
        at: momentSchema.openapi({ description: "When it was first seen" }),
        sinceStartSeconds: z.number(),
        times: z.int().openapi({ description: "How often it was seen" }),
        decision: z.string().optional(),
        address: z.string().optional(),
        file: z.string().optional(),
        why: z.string().optional().openapi({ description: "Why this loader, where it is not the first of its class" }),
        bytes: count,
        transferSeconds: z.number().optional(),
        retransmissions: count,
      }),
    ),
    refusals: z.array(z.object({ reason: z.string(), at: momentSchema, times: z.int() })),
    stall: stallSchema.optional().openapi({ description: "How it stands still; only for the latest boot" }),
  })
  .openapi("Boot");

/** A boot as the API shows it; `stall`: how it stands still, for the latest one alone. */
export function viewBoot(session: BootSession, stall?: Stall): z.infer<typeof bootSchema> {
  const { id, mac, network, client, startedAt, lastAt } = session;
  return {
    id,
    mac,
    network,
    firmware: client?.firmware,
    startedAt: moment(startedAt),
    lastAt: moment(lastAt),
    stages: session.stages.map(
      ({ stage, at, times, decision, address, file, why, bytes, seconds, retransmissions }) => ({
        stage,
        at: moment(at),
        sinceStartSeconds: (at - startedAt) / 1000,
        times,
        decision,
        address,
        file,
        why,
        bytes,
        transferSeconds: seconds,
        retransmissions,
      }),
    ),
    refusals: session.refusals.map(({ reason, at, times }) => ({ reason, at: moment(at), times })),
    stall: stall && viewStall(stall),
  };
}
