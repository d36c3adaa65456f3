/**
 * Who may talk to whom on layer 2: which project has a node, and which networks its NICs are in. Every verb is idempotent:
 * what is so already, is success; it returns when the change holds, read back where the isolator can tell.
 * All fail with UNAUTHENTICATED, FORBIDDEN, UNAVAILABLE (no answer; retryable), TIMEOUT, UNSUPPORTED, DRIVER_FAILED.
 * An attachment that failed says in its details what the NIC is in now (`holds`: networks, or "unknown"). A change that takes
 * its time tells what it waits for.
 */
export interface NetworkIsolator {
  /** All nodes that it knows, by name. */
  nodes(signal: AbortSignal): Promise<IsolatedNode[]>;
  /** One of them; NOT_FOUND. */
  node(name: string, signal: AbortSignal): Promise<IsolatedNode>;
  /** Gives a node to a project. CONFLICT while another one has it; NOT_FOUND for a node or project that it does not know. */
  allocate(node: string, project: string, signal: AbortSignal, tell?: TellWait): Promise<void>;
  /** Takes it back. CONFLICT while NICs are in networks, or another project has it (`details.owner`). */
  free(node: string, project: string, signal: AbortSignal, tell?: TellWait): Promise<void>;
  /** Makes a network; what the isolator chose of it is answered. EXISTS when one of another make has that name. */
  ensureNetwork(network: NetworkSpec, signal: AbortSignal, tell?: TellWait): Promise<{ vlan?: number }>;
  /**
   * Lets these projects attach to a network, and no others; the one that it was made for is among them. NOT_FOUND; CONFLICT while
   * a NIC of one that is to lose it is in it.
   */
  ensureAccess(network: string, projects: readonly string[], signal: AbortSignal, tell?: TellWait): Promise<void>;
  /** CONFLICT while NICs are in it. */
  removeNetwork(name: string, signal: AbortSignal, tell?: TellWait): Promise<void>;
  /** Puts a NIC into a network; on the native channel it leaves the one that it was in there. */
  ensureAttached(attachment: Attachment, signal: AbortSignal, tell?: TellWait): Promise<void>;
  ensureDetached(attachment: Attachment, signal: AbortSignal, tell?: TellWait): Promise<void>;
  /** Whether it answers and has what is asked of it, for people. Changes nothing; NOT_FOUND where it has no place for any of it. */
  inspect(use: InUse, signal: AbortSignal): Promise<Remark[]>;
}

/** What an appliance asks its isolator for, by its names. */
export type InUse = { networks: { name: string; vlan?: number }[]; projects: string[] };

/** How one thing is there; with a remedy where that is amiss. */
export type Remark = { subject: string; message: string; remedy?: string };

/** Told what a change waits for, since how many seconds, and how many it may. */
export type TellWait = (wait: { reason: string; seconds: number; atMostSeconds: number }) => void;

/** How a NIC carries a network: untagged, or tagged with the network's VLAN. At most one network is native on a NIC. */
export type Channel = "native" | "tagged";

export type NetworkSpec = {
  name: string;
  /** Who may attach to it; absent: every project. */
  project?: string;
  /** 1 to 4094; absent where the isolator chooses. */
  vlan?: number;
};

export type Attachment = { node: string; nic: string; network: string; channel: Channel };

export type IsolatedNode = {
  name: string;
  /** Absent while nobody has it. */
  project?: string;
  nics: IsolatedNic[];
};

export type IsolatedNic = {
  /** What the isolator calls it: HIL's label, the port of a switch. */
  name: string;
  /** As written there, checked; absent where the isolator does not know it. */
  mac?: string;
  networks: { network: string; channel: Channel }[];
};
