/** Values of option 53 (RFC 2132 9.6, RFC 3203, RFC 4388). */
export const MESSAGE_TYPE = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  ack: 5,
  nak: 6,
  release: 7,
  inform: 8,
  forceRenew: 9,
  leaseQuery: 10,
  leaseUnassigned: 11,
  leaseUnknown: 12,
  leaseActive: 13,
} as const;

export type MessageTypeName = keyof typeof MESSAGE_TYPE;
export type MessageType = (typeof MESSAGE_TYPE)[MessageTypeName];

const NAMES = new Map<number, MessageTypeName>(
  Object.entries(MESSAGE_TYPE).map(([name, value]) => [value, name as MessageTypeName]),
);

/** The name of a message type; undefined for a number that none has. */
export function messageTypeName(type: number): MessageTypeName | undefined {
  return NAMES.get(type);
}
