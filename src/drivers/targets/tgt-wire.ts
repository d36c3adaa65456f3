/**
 * The request and response of tgtd's management socket, as tgt 1.0.85 speaks it on 64-bit little-endian machines:
 * one request and one response per connection, a fixed record and then text.
 */

/** What a request is about. */
export const MODES = { system: 0, target: 1, unit: 2, portal: 3, session: 5, connection: 6, account: 7 } as const;
/** What shall be done with it. */
const OPERATIONS = { new: 0, delete: 1, show: 2, bind: 3, unbind: 4, update: 5, stat: 6 } as const;

export type TgtRequest = {
  mode: keyof typeof MODES;
  operation: keyof typeof OPERATIONS;
  /** Target id. */
  tid?: number;
  session?: number;
  connection?: number;
  lun?: number;
  /** Accounts only: how initiators prove themselves to us, or we to them. */
  direction?: "incoming" | "outgoing";
  /** Joined to `key=value,key=value`: values hold no comma. */
  parameters?: Record<string, string>;
};

/** `error` 0 is success, others are in TGT_ERRORS. */
export type TgtResponse = { error: number; text: string };

const REQUEST_BYTES = 120;
const RESPONSE_BYTES = 8;
const OFFSETS = {
  mode: 0,
  operation: 4,
  driver: 8,
  length: 72,
  tid: 76,
  session: 80,
  lun: 88,
  connection: 96,
} as const;
const ACCOUNT_DIRECTION_OFFSET = 108;
const NO_LUN = 0xffff_ffff_ffff_ffffn;

/** tgtd's words for its error numbers. */
export const TGT_ERRORS = [
  "success",
  "unknown error",
  "out of memory",
  "no such driver",
  "no such target",
  "no such logical unit",
  "no such session",
  "no such connection",
  "no such binding",
  "target exists",
  "binding exists",
  "logical unit exists",
  "access rule exists",
  "no such access rule",
  "account exists",
  "no such account",
  "too many accounts",
  "invalid request",
  "outgoing account exists",
  "target is active",
  "logical unit is active",
  "driver is active",
  "unsupported operation",
  "unknown parameter",
  "removal is prevented",
] as const;

export type TgtError = (typeof TGT_ERRORS)[number];

/** The bytes of a request. */
export function encodeTgtRequest(request: TgtRequest): Buffer {
  const parameters = Object.entries(request.parameters ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
  const text = parameters === "" ? Buffer.alloc(0) : Buffer.from(`${parameters}\0`);
  const record = Buffer.alloc(REQUEST_BYTES);
  record.writeInt32LE(MODES[request.mode], OFFSETS.mode);
  record.writeInt32LE(OPERATIONS[request.operation], OFFSETS.operation);
  record.write("iscsi", OFFSETS.driver);
  record.writeUInt32LE(REQUEST_BYTES + text.length, OFFSETS.length);
  record.writeInt32LE(request.tid ?? -1, OFFSETS.tid);
  record.writeBigUInt64LE(BigInt(request.session ?? 0), OFFSETS.session);
  record.writeBigUInt64LE(request.lun === undefined ? NO_LUN : BigInt(request.lun), OFFSETS.lun);
  record.writeUInt32LE(request.connection ?? 0, OFFSETS.connection);
  record.writeUInt32LE(request.direction === "outgoing" ? 1 : 0, ACCOUNT_DIRECTION_OFFSET);
  return Buffer.concat([record, text]);
}

/** The response in these bytes; undefined while some are missing. */
export function decodeTgtResponse(bytes: Buffer): TgtResponse | undefined {
  if (bytes.length < RESPONSE_BYTES) return undefined;
  const length = bytes.readUInt32LE(4);
  if (bytes.length < length) return undefined;
  return {
    error: bytes.readUInt32LE(0),
    text: bytes.toString("utf8", RESPONSE_BYTES, length).replace(/\0+$/, ""),
  };
}
