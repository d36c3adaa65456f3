import { readFileSync } from "node:fs";

/** Ethernet without jumbo frames. */
const DEFAULT_MTU = 1500;

/** The interface's MTU in bytes; 1500 where the kernel does not show it. */
export function interfaceMtu(name: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/mtu`, "utf8")) || DEFAULT_MTU;
  } catch {
    return DEFAULT_MTU;
  }
}
