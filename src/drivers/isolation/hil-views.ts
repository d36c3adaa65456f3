import { z } from "zod";
import { parseMac } from "../../values/mac.ts";
import type { Channel, IsolatedNode } from "./network-isolator.ts";

/** What HIL shows of a node. */
export const HilNode = z.object({
  name: z.string(),
  project: z.string().nullable(),
  nics: z.array(z.object({ label: z.string(), macaddr: z.string(), networks: z.record(z.string(), z.string()) })),
});

/** Of a network; `access` null: every project's. */
export const HilNetwork = z.object({
  owner: z.string(),
  access: z.array(z.string()).nullable(),
  channels: z.array(z.string()),
});

export const HilAction = z.object({ status: z.enum(["PENDING", "DONE", "ERROR"]) });
export const HilActionBegun = z.object({ status_id: z.string() });
export const HilNames = z.array(z.string());

const TAGGED = /^vlan\/(\d+)$/;

/** `vlan/native`, or the one channel of an allocator without VLANs, is the native one. */
export function channelOf(channel: string): Channel {
  return TAGGED.test(channel) ? "tagged" : "native";
}

/** The VLAN of a network; undefined where HIL's allocator knows none. */
export function vlanOf({ channels }: z.infer<typeof HilNetwork>): number | undefined {
  for (const channel of channels) {
    const [, vlan] = TAGGED.exec(channel) ?? [];
    if (vlan !== undefined) return Number(vlan);
  }
  return undefined;
}

export function isolatedNode({ name, project, nics }: z.infer<typeof HilNode>): IsolatedNode {
  return {
    name,
    ...(project !== null && { project }),
    nics: nics.map(({ label, macaddr, networks }) => {
      const mac = checkedMac(macaddr);
      return {
        name: label,
        ...(mac !== undefined && { mac }),
        networks: Object.entries(networks).map(([channel, network]) => ({ network, channel: channelOf(channel) })),
      };
    }),
  };
}

/** HIL takes any text for a MAC. */
function checkedMac(text: string): string | undefined {
  try {
    return parseMac(text);
  } catch {
    return undefined;
  }
}
