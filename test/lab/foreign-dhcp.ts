import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** DHCP servers that networks have before Ingot comes. */
export type ForeignDhcp = "dnsmasq" | "kea";

export type ForeignDhcpOptions = {
  kind: ForeignDhcp;
  /** For its configuration and leases; made if it is not there. */
  directory: string;
  interface: string;
  /** Network part of a /24; the pool is .50 to .69. */
  net: string;
  /** What its clients are told to boot, if anything: `filename` and next server. */
  boot?: { file: string; server: string };
};

/** The program, arguments and environment of another DHCP server, as it comes: dnsmasq pings before it offers. */
export function foreignDhcp({ kind, directory, boot, interface: name, net }: ForeignDhcpOptions): {
  argv: string[];
  env: NodeJS.ProcessEnv;
} {
  mkdirSync(directory, { recursive: true });
  if (kind === "dnsmasq") {
    const words = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file="];
    const range = [`--dhcp-range=${net}.50,${net}.69,255.255.255.0,10m`, `--interface=${name}`, "--dhcp-authoritative"];
    const told = boot ? [`--dhcp-boot=${boot.file},,${boot.server}`] : [];
    const leases = [`--dhcp-leasefile=${join(directory, "dnsmasq.leases")}`, "--log-dhcp", "--log-facility=-"];
    return { argv: ["dnsmasq", ...words, ...range, ...told, ...leases], env: process.env };
  }
  const config = {
    "interfaces-config": { interfaces: [name], "dhcp-socket-type": "raw" },
    "lease-database": { type: "memfile", persist: false },
    "valid-lifetime": 600,
    authoritative: true,
    ...(boot ? { "boot-file-name": boot.file, "next-server": boot.server } : {}),
    subnet4: [{ id: 1, subnet: `${net}.0/24`, pools: [{ pool: `${net}.50 - ${net}.69` }] }],
    loggers: [{ name: "kea-dhcp4", severity: "INFO", output_options: [{ output: "stdout" }] }],
  };
  const file = join(directory, "kea.json");
  writeFileSync(file, JSON.stringify({ Dhcp4: config }), { mode: 0o644 });
  const env = { ...process.env, KEA_PIDFILE_DIR: directory, KEA_LOCKFILE_DIR: "none", KEA_DHCP_DATA_DIR: directory };
  return { argv: ["kea-dhcp4", "-c", file], env };
}
