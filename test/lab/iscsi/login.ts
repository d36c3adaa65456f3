import { createHash } from "node:crypto";
import { encodePdu, FINAL, newHeader, OPCODE, type Pdu } from "./pdu.ts";

export type LoginOptions = {
  /** The target's name. */
  iqn: string;
  initiator?: string;
  /** One-way CHAP. */
  user?: string;
  secret?: string;
};

/** What both sides agreed on, in bytes. */
export type Agreed = { targetSegment: number; firstBurst: number; immediateData: boolean };

const SECURITY = 0;
const OPERATIONAL = 1;
const FULL_FEATURE = 3;
const CHAP_MD5 = "5";
const SEGMENT_BYTES = 262_144;

/** Logs in (RFC 7143 6.3, CHAP: 12.1.3) over `exchange`, which sends a PDU and answers the next one. */
export async function logIn(
  options: LoginOptions,
  exchange: (bytes: Buffer[]) => Promise<Pdu>,
): Promise<Agreed & { statusNumber: number; maxCommand: number }> {
  let expected = 0;
  let tsih = 0;
  const isid = Buffer.from([0x80, 0, 0, 0, 0, 0]);
  isid.writeUInt32BE((process.pid << 8) ^ (performance.now() * 1000), 1);
  const step = async (stage: number, next: number | undefined, keys: Record<string, string>) => {
    const header = newHeader(0x40 | OPCODE.login, (stage << 2) | (next === undefined ? 0 : FINAL | next), 0);
    isid.copy(header, 8);
    header.writeUInt16BE(tsih, 14);
    header.writeUInt32BE(1, 24);
    header.writeUInt32BE(expected, 28);
    const pdu = await exchange(encodePdu(header, encodeKeys(keys)));
    if (pdu.opcode !== OPCODE.loginResponse) throw new Error(`no login response, but opcode ${pdu.opcode}`);
    const status = pdu.header.readUInt16BE(36);
    if (status !== 0) throw new Error(`login refused, status 0x${status.toString(16).padStart(4, "0")}`);
    tsih = pdu.header.readUInt16BE(14);
    expected = pdu.header.readUInt32BE(24) + 1;
    return { keys: decodeKeys(pdu.data), pdu };
  };

  const names = { InitiatorName: options.initiator ?? "iqn.2026-11.org.ingot:tester", TargetName: options.iqn };
  const { user, secret } = options;
  if (user !== undefined && secret !== undefined) {
    await step(SECURITY, undefined, { ...names, SessionType: "Normal", AuthMethod: "CHAP" });
    const { keys } = await step(SECURITY, undefined, { CHAP_A: CHAP_MD5 });
    const challenge = binary(keys.CHAP_C ?? "");
    const answer = createHash("md5")
      .update(Buffer.from([Number(keys.CHAP_I)]))
      .update(secret)
      .update(challenge);
    await step(SECURITY, OPERATIONAL, { CHAP_N: user, CHAP_R: `0x${answer.digest("hex")}` });
  } else {
    await step(SECURITY, OPERATIONAL, { ...names, SessionType: "Normal", AuthMethod: "None" });
  }
  const { keys, pdu } = await step(OPERATIONAL, FULL_FEATURE, {
    HeaderDigest: "None",
    DataDigest: "None",
    InitialR2T: "Yes",
    ImmediateData: "Yes",
    MaxRecvDataSegmentLength: String(SEGMENT_BYTES),
    MaxBurstLength: String(SEGMENT_BYTES),
    FirstBurstLength: String(SEGMENT_BYTES),
    MaxConnections: "1",
    ErrorRecoveryLevel: "0",
    DefaultTime2Wait: "2",
    DefaultTime2Retain: "0",
  });
  return {
    targetSegment: Number(keys.MaxRecvDataSegmentLength ?? 8192),
    firstBurst: Number(keys.FirstBurstLength ?? SEGMENT_BYTES),
    immediateData: keys.ImmediateData !== "No",
    statusNumber: expected,
    maxCommand: pdu.header.readUInt32BE(32),
  };
}

function encodeKeys(keys: Record<string, string>): Buffer {
  return Buffer.from(
    Object.entries(keys)
      .map(([key, value]) => `${key}=${value}\0`)
      .join(""),
  );
}

function decodeKeys(data: Buffer): Record<string, string> {
  const pairs = data.toString("utf8").split("\0").filter(Boolean);
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
}

function binary(text: string): Buffer {
  return text.startsWith("0b") ? Buffer.from(text.slice(2), "base64") : Buffer.from(text.slice(2), "hex");
}
