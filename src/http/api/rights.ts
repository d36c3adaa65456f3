/** What a caller may be allowed to do. Every route states the one that it needs. */
export const RIGHTS = [
  "node:read",
  "node:write",
  "node:provision",
  "node:power",
  "project:read",
  "project:write",
  "image:read",
  "image:write",
  "image:exchange",
  "disk:read",
  "disk:write",
  "operation:read",
  "operation:write",
  "network:read",
  "system:read",
  "system:write",
] as const;
export type Right = (typeof RIGHTS)[number];

/** What each role holds. */
export const ROLES = {
  admin: new Set<Right>(RIGHTS),
} as const satisfies Record<string, ReadonlySet<Right>>;

/** Who asks: the name lands in `requestedBy` of what they begin. */
export type Caller = { name: string; role: keyof typeof ROLES };
