import { z } from "@hono/zod-openapi";
import type { DhcpState } from "../../../dhcp/standing.ts";
import { moment, momentSchema } from "./text.ts";

/** What DHCP does on one network, and which other servers were seen there. */
export const dhcpSchema = z
  .object({
    mode: z.enum(["server", "proxy", "auto", "off"]).openapi({ description: "As configured" }),
    role: z.enum(["server", "proxy", "silent", "off"]).openapi({
      description: "In force now. `silent`: nothing is answered because of, or for fear of, another server",
    }),
    foreign: z
      .array(
        z.object({
          address: z.string(),
          by: z
            .enum(["probe", "request"])
            .openapi({ description: "It answered a probe, or a client asked it by name" }),
          firstSeenAt: momentSchema,
          lastSeenAt: momentSchema,
        }),
      )
      .openapi({ description: "Other DHCP servers on this network" }),
    probedAt: momentSchema.optional().openapi({ description: "End of the last search for other servers" }),
    drops: z.object({ limited: z.number(), shed: z.number(), dropped: z.number() }).optional().openapi({
      description:
        "Requests dropped unread since the start: of clients that sent too many, of strangers in a flood, and while the disk was behind",
    }),
    trouble: z.string().optional().openapi({ description: "Why they can't be searched for" }),
  })
  .openapi("Dhcp");

/** A network's DHCP as the API shows it. */
export function viewDhcp({ mode, role, foreign, probedAt, drops, trouble }: DhcpState): z.infer<typeof dhcpSchema> {
  return {
    mode,
    role,
    foreign: foreign.map(({ address, by, firstSeenAt, lastSeenAt }) => ({
      ...{ address, by },
      firstSeenAt: moment(firstSeenAt),
      lastSeenAt: moment(lastSeenAt),
    })),
    ...(probedAt === undefined ? {} : { probedAt: moment(probedAt) }),
    ...(drops ? { drops: { limited: drops.limited, shed: drops.shed, dropped: drops.dropped } } : {}),
    ...(trouble ? { trouble: trouble.message } : {}),
  };
}
