/** A system call as strace -f -xx tells it, in the order of beginnings and ends. */
type Call = { pid: string; name: string; phase: "whole" | "begin" | "end"; bytes: Buffer[]; succeeded: boolean };

/** What one line of the trace tells; undefined for signals and exits. */
function parseCall(line: string): Call | undefined {
  const found = /^(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)$/.exec(line);
  if (!found) return undefined;
  const [, pid = "", name = "", rest = ""] = found;
  const resumed = line.includes(" resumed>");
  const phase = resumed ? "end" : rest.includes("<unfinished ...>") ? "begin" : "whole";
  const bytes = [...rest.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, hex = ""]) =>
    Buffer.from(hex.replaceAll("\\x", ""), "hex"),
  );
  return { pid, name, phase, bytes, succeeded: !/ = -1 /.test(rest) };
}

/**
 * The ACKs in a trace of a DHCP server that keeps leases in a journal: whether each was sent after the journal line with
 * its address was written, and a later fdatasync had come back.
 */
export function acksInTrace(trace: string): { address: string; synced: boolean }[] {
  const acks: { address: string; synced: boolean }[] = [];
  const synced = new Set<string>();
  let written: string[] = [];
  const pendingWrites = new Map<string, string[]>();
  const pendingSyncs = new Map<string, string[]>();
  for (const line of trace.split("\n")) {
    const call = parseCall(line);
    if (!call) continue;
    if (call.name.startsWith("send")) {
      if (call.phase !== "end")
        for (const address of call.bytes.flatMap(ackedAddress)) acks.push({ address, synced: synced.has(address) });
    } else if (call.name === "fdatasync") {
      if (call.phase !== "end") {
        pendingSyncs.set(call.pid, written);
        written = [];
      }
      if (call.phase !== "begin" && call.succeeded)
        for (const address of pendingSyncs.get(call.pid) ?? []) synced.add(address);
    } else {
      if (call.phase !== "end") pendingWrites.set(call.pid, call.bytes.flatMap(journalledAddresses));
      if (call.phase !== "begin" && call.succeeded) written.push(...(pendingWrites.get(call.pid) ?? []));
    }
  }
  return acks;
}

function journalledAddresses(bytes: Buffer): string[] {
  const text = bytes.toString("latin1");
  if (!text.startsWith('{"seq":')) return [];
  return [...text.matchAll(/"collection":"leases","key":"([\d.]+)"/g)].map(([, address = ""]) => address);
}

/** yiaddr, where the bytes are a DHCPACK: option 53 comes first in ours. */
function ackedAddress(bytes: Buffer): string[] {
  const isAck = bytes.length > 243 && bytes[0] === 2 && bytes.subarray(240, 243).equals(Buffer.of(53, 1, 5));
  return isAck ? [bytes.subarray(16, 20).join(".")] : [];
}
