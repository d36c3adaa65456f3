/** What a caller may be allowed to do. Every route of the API states the one that it needs. */
export const RIGHTS = [
  "node:read",
  "node:write",
  "node:provision",
  "node:power",
  "node:console",
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
  "network:write",
  "system:read",
  "system:write",
  "self:read",
  "self:write",
  "access:read",
  "access:write",
  "audit:read",
] as const;
export type Right = (typeof RIGHTS)[number];

const SETTINGS: readonly Right[] = [
  "project:write",
  "image:exchange",
  "system:write",
  "access:read",
  "access:write",
  "audit:read",
];
const SELF: readonly Right[] = ["self:read", "self:write"];
const VIEWER: readonly Right[] = [
  "node:read",
  "project:read",
  "image:read",
  "disk:read",
  "network:read",
  "operation:read",
  ...SELF,
];

/** Roles over the whole appliance, every project included, and what each holds. */
export const APPLIANCE_ROLES = {
  admin: new Set<Right>(RIGHTS),
  operator: new Set<Right>(RIGHTS.filter((right) => !SETTINGS.includes(right))),
} as const satisfies Record<string, ReadonlySet<Right>>;

/** Roles in one project, and what each holds there. */
export const PROJECT_ROLES = {
  member: new Set<Right>([
    ...VIEWER,
    "node:provision",
    "node:power",
    "node:console",
    "image:write",
    "disk:write",
    "network:write",
    "operation:write",
  ]),
  viewer: new Set<Right>(VIEWER),
} as const satisfies Record<string, ReadonlySet<Right>>;

export type ApplianceRole = keyof typeof APPLIANCE_ROLES;
export type ProjectRole = keyof typeof PROJECT_ROLES;
