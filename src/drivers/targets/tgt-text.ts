/** Reads what tgtd shows: text for people, indented by four spaces a level. */

/** One target as tgtd shows it. */
export type ShownTarget = {
  tid: number;
  iqn: string;
  sessions: ShownSession[];
  units: ShownUnit[];
  /** Who may log in with CHAP, in the order in which tgtd keeps them. */
  incoming: string[];
  /** What the target proves itself with (mutual CHAP). */
  outgoing: string[];
  /** Bound addresses and initiator names: either kind lets in. */
  allowed: string[];
};

export type ShownSession = { id: number; initiator: string; connections: { id: number; address: string }[] };

export type ShownUnit = {
  lun: number;
  path: string;
  store: string;
  /** How the backing file is open: `sync`, `direct`, both with a colon between, or empty. */
  flags: string;
  serial: string;
  scsiId: string;
  readOnly: boolean;
  thin: boolean;
};

/** Bytes of finished reads and writes of one session on one LUN. */
export type UnitTraffic = { tid: number; lun: number; session: number; readBytes: number; writtenBytes: number };

/** The targets in the answer to `target show`. */
export function parseTargets(text: string): ShownTarget[] {
  return sections(text, /^Target (\d+): (.*)$/).map(({ match, body }) => {
    const parts = new Map(sections(body, /^ {4}(\S.*):$/).map((part) => [part.match[1], part.body]));
    const accounts = entries(parts.get("Account information"));
    const outgoing = / \(outgoing\)$/;
    return {
      tid: Number(match[1]),
      iqn: match[2]!,
      sessions: parseSessions(parts.get("I_T nexus information") ?? []),
      units: parseUnits(parts.get("LUN information") ?? []),
      incoming: accounts.filter((account) => !outgoing.test(account)),
      outgoing: accounts.filter((account) => outgoing.test(account)).map((account) => account.replace(outgoing, "")),
      allowed: entries(parts.get("ACL information")),
    };
  });
}

/** The rows in the answer to `system stat`: one per target, LUN and session. */
export function parseTraffic(text: string): UnitTraffic[] {
  return lines(text)
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((row) => row.length === 12 && row.every(Number.isFinite))
    .map((row) => ({ tid: row[0]!, lun: row[1]!, session: row[2]!, readBytes: row[5]!, writtenBytes: row[9]! }));
}

/** `address:port` of each portal in the answer to `portal show`. */
export function parsePortals(text: string): string[] {
  return lines(text).flatMap((line) => /^Portal: (.*),\d+$/.exec(line)?.[1] ?? []);
}

/** The names in the answer to `account show`. */
export function parseAccounts(text: string): string[] {
  return lines(text)
    .slice(1)
    .map((line) => line.trim());
}

function parseSessions(body: string[]): ShownSession[] {
  return sections(body, /^ {8}I_T nexus: (\d+)$/).map(({ match, body }) => ({
    id: Number(match[1]),
    initiator: / {12}Initiator: (\S+)/.exec(body.join("\n"))?.[1] ?? "",
    connections: sections(body, /^ {12}Connection: (\d+)$/).map((connection) => ({
      id: Number(connection.match[1]),
      address: /IP Address: (\S+)/.exec(connection.body.join("\n"))?.[1] ?? "",
    })),
  }));
}

function parseUnits(body: string[]): ShownUnit[] {
  return sections(body, /^ {8}LUN: (\d+)$/).map(({ match, body }) => {
    const fields = new Map(body.map((line) => splitField(line.trim())));
    return {
      lun: Number(match[1]),
      path: fields.get("Backing store path") ?? "",
      store: fields.get("Backing store type") ?? "",
      flags: fields.get("Backing store flags") ?? "",
      serial: fields.get("SCSI SN") ?? "",
      scsiId: fields.get("SCSI ID") ?? "",
      readOnly: fields.get("Readonly") === "Yes",
      thin: fields.get("Thin-provisioning") === "Yes",
    };
  });
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(": ");
  return colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 2)];
}

/** Splits lines at those that match `head`; what stands before the first is dropped. */
function sections(text: string | string[], head: RegExp): { match: RegExpExecArray; body: string[] }[] {
  const found: { match: RegExpExecArray; body: string[] }[] = [];
  for (const line of typeof text === "string" ? lines(text) : text) {
    const match = head.exec(line);
    if (match) found.push({ match, body: [] });
    else found.at(-1)?.body.push(line);
  }
  return found;
}

function entries(body: string[] = []): string[] {
  return body.map((line) => line.trim()).filter((line) => line !== "");
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
