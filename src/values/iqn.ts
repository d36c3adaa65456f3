/** An iSCSI qualified name (RFC 7143 4.2.7), `iqn.2026-11.…:…`. */
export type Iqn = string;

/** Whether it names an initiator (RFC 7143 4.2.7.2), and is no address. */
export function isInitiatorName(text: string): text is Iqn {
  return /^(iqn|eui|naa)\./.test(text);
}

/** The naming authority of every name this appliance makes. */
const AUTHORITY = "iqn.2026-11.org.ingot";

/** The target name of a disk: made of immutable ids only, so that renames and moves never touch a running node. */
export function targetIqn(applianceId: string, diskId: string): Iqn {
  return `${AUTHORITY}:${applianceId}:${diskId}`;
}

/** The appliance and the disk that such a name is made of; undefined for any other. */
export function parseTargetIqn(iqn: Iqn): { appliance: string; disk: string } | undefined {
  const [authority, appliance, disk, ...more] = iqn.split(":");
  if (authority !== AUTHORITY || appliance === undefined || disk === undefined || more.length > 0) return undefined;
  return { appliance, disk };
}

/** The initiator name that a node is told to log in with. It identifies, it does not authenticate. */
export function initiatorIqn(nodeId: string): Iqn {
  return `${AUTHORITY}:${nodeId}`;
}
