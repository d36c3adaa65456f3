import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lines, type Namespaces } from "./namespaces.ts";

/** Prints what udhcpc learned, and puts address and default route on the interface as a real one would. */
const SCRIPT = `#!/bin/sh
case "$1" in
  deconfig) ip addr flush dev "$interface" ;;
  bound|renew)
    ip addr replace "$ip/$mask" brd + dev "$interface"
    [ -z "$router" ] || ip route replace default via "$router" ;;
esac
echo "$1 $ip mask=$subnet router=$router dns=$dns domain=$domain lease=$lease server=$serverid message=$message"
`;

/** Writes the script that `startUdhcpc` needs into a directory. */
export function writeUdhcpcScript(directory: string): void {
  writeFileSync(join(directory, "udhcpc-script"), SCRIPT, { mode: 0o755 });
}

/** udhcpc on `nic`, in the foreground: asks every second, thrice. SIGUSR1 renews, SIGUSR2 releases. */
export function startUdhcpc(namespaces: Namespaces, namespace: string, directory: string, ...words: string[]) {
  const script = join(directory, "udhcpc-script");
  const options = ["-f", "-i", "nic", "-t", "3", "-T", "1", "-A", "1", "-s", script, ...words];
  const child = namespaces.start(namespace, ["udhcpc", ...options]);
  return { child, lines: new Lines(child) };
}
