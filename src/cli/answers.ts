import type { ErrorCode } from "../errors.ts";

/** What the CLI reads in the API's answers (`/v1/openapi.json` has all of it). Moments are RFC 3339 text. */

/** What became, or would become, of a machine that HIL knows. */
export type ImportedNode = {
  isolatedAs: string;
  outcome: "new" | "cabled" | "known" | "refused";
  node?: string | undefined;
  project?: string | undefined;
  bootNic?: { label: string; mac: string } | undefined;
  reason?: string | undefined;
};

/** A registered machine, what it boots, and how that goes. */
export type Node = {
  id: string;
  name: string;
  nics: {
    mac: string;
    role: "boot" | "data";
    network?: string | undefined;
    address?: string | undefined;
    port?: string | undefined;
    networks: { network: string; channel: "native" | "tagged" }[];
  }[];
  project: string;
  isolatedAs?: string | undefined;
  dirty?: { project?: string | undefined; since: string } | undefined;
  firmware: "bios" | "uefi";
  loader: "auto" | "ours";
  power: {
    driver: "ipmi" | "hil" | "manual";
    hilNode?: string | undefined;
    address?: string | undefined;
    port?: number | undefined;
    user?: string | undefined;
    passwordFile?: string | undefined;
    passwordEnvironment?: string | undefined;
  };
  boots?:
    | {
        disk: string;
        dataDisks: { disk: string; lun: number; readOnly: boolean }[];
        network: string;
        address?: string | undefined;
        once: boolean;
        since: string;
        armed: boolean;
        unarmedRequest?: { since: string; lastAt: string; times: number; finding: string; remedy: string } | undefined;
        readBytes: number;
        writtenBytes: number;
      }
    | undefined;
  lastLoader?: { file: string; why?: string | undefined } | undefined;
  stall?: Stall | undefined;
  operation?: string | undefined;
  createdAt: string;
  requestedBy: string;
};

type Standing = { owner?: string; networks: { nic: string; network: string; channel: "native" | "tagged" }[] };

/** A node as records, isolator, target server and BMC have it. */
export type NodeStanding = {
  node: string;
  busy: boolean;
  records: Standing & { disk?: string };
  isolator?: Standing | { trouble: string };
  target: string | { trouble: string };
  power?: string | { trouble: string };
  disagrees: string[];
};

/** A node's serial line; `start` and `end`: places in what is kept of it. */
export type Console = {
  node: string;
  state: "opening" | "open" | "waiting";
  since: string;
  why?: string | undefined;
  remedy?: string | undefined;
  start: number;
  end: number;
};

/** A boot that stands still. */
export type Stall = {
  kind: string;
  stage?: string | undefined;
  since: string;
  symptom: string;
  attempts: number;
  causes: { cause: string; remedy: string }[];
};

/** Who owns nodes, images and disks. */
export type Project = {
  name: string;
  description?: string | undefined;
  createdAt?: string | undefined;
  requestedBy: string;
};

/** What closing a project does, in its order; `obstacles` keep it from that. */
export type ClosingReport = Record<
  "released" | "nodes" | "exported" | "disks" | "images" | "networks" | "tokens" | "users" | "obstacles",
  string[]
> & { project: string };

/** A role; without a project, over the whole appliance. */
export type Grant = { role: "admin" | "operator" | "member" | "viewer"; project?: string | undefined };

/** Who asks. */
export type Self = { name: string; user?: string | undefined; authenticator: string; grants: Grant[] };

export type Token = {
  id: string;
  name: string;
  user?: string | undefined;
  grants: Grant[];
  createdAt: string;
  expiresAt?: string | undefined;
  requestedBy: string;
};

/** As it is answered once. */
export type TokenWithSecret = Token & { secret: string };

export type User = { name: string; grants: Grant[]; createdAt: string; requestedBy: string };

/** A network that a project's nodes may be in; `members` of the project's own nodes, or of all for its owner. */
export type Network = {
  name: string;
  kind: "tenant" | "provisioning";
  id?: string;
  owner?: string;
  vlan?: number;
  ready: boolean;
  sharedWith?: string[];
  members: { node?: string; nic?: string; channel: "native" | "tagged" }[];
};

/** A line of the audit log. */
export type AuditEntry = {
  seq: number;
  at: string;
  kind: "request" | "answer" | "operation" | "gap";
  requestId?: string | undefined;
  who?: string | undefined;
  from?: string | undefined;
  method?: string | undefined;
  path?: string | undefined;
  status?: number | undefined;
  code?: string | undefined;
  operation?: string | undefined;
  summary?: string | undefined;
  state?: string | undefined;
  why?: string | undefined;
};

export type AuditVerdict = {
  lines: number;
  first?: number | undefined;
  last?: number | undefined;
  head: string;
  faults: string[];
};

/** Who had a node or a disk, from when to when. */
export type Tenure = {
  kind: "node" | "disk";
  project: string;
  node?: string | undefined;
  disk: string;
  diskName?: string | undefined;
  address?: string | undefined;
  requestedBy?: string | undefined;
  operation?: string | undefined;
  since: string;
  until?: string | undefined;
};

export type Usage = { month: string; project: string; nodeHours: number; gibHours: number };

/** An upload that is not whole yet. */
export type Upload = {
  name: string;
  project: string;
  format: string;
  compression: string;
  sizeBytes?: number | undefined;
  receivedBytes: number;
  expiresAt: string;
  createdAt: string;
  requestedBy: string;
};

/** What disks are cloned from. */
export type Image = {
  id: string;
  name: string;
  project: string;
  origin:
    | { kind: "import"; source: string; format: string; compression?: string | undefined }
    | { kind: "snapshot"; disk: string; diskName?: string | undefined; clean: boolean }
    | { kind: "rbd"; source: string }
    | { kind: "increment"; source: string }
    | { kind: "copy"; image: string; imageName?: string | undefined };
  sizeBytes: number;
  sha256?: string | undefined;
  phonesHome: boolean;
  ready: boolean;
  description?: string | undefined;
  labels: Record<string, string>;
  retired: boolean;
  public: boolean;
  sharedWith: string[];
  createdAt: string;
  requestedBy: string;
};

/** An image or a disk below what it came from; without a name it is gone. */
export type Relative = {
  kind: "image" | "disk";
  id: string;
  parent?: string | undefined;
  depth: number;
  name?: string | undefined;
  node?: string | undefined;
  sizeBytes?: number | undefined;
  createdAt?: string | undefined;
};

/** A node's own disk; without `node` nobody has it. */
export type Disk = {
  id: string;
  name: string;
  image?: string | undefined;
  sizeBytes: number;
  depth: number;
  limits?: { iops?: number | undefined; bytesPerSecond?: number | undefined } | undefined;
  schedule?:
    | {
        everySeconds: number;
        keep: number;
        lastAt?: string | undefined;
        failure?: { at: string; message: string } | undefined;
      }
    | undefined;
  deletedAt?: string | undefined;
  node?: string | undefined;
  /** Where that node finds it. */
  lun?: number | undefined;
  readOnly: boolean;
  clean: boolean;
  createdAt: string;
  requestedBy: string;
};

/** A disk that no node has. */
export type OrphanDisk = Disk & { since: string; usedBytes?: number | undefined };

/** Why something failed, and what to do about it. */
export type Failure = { code: ErrorCode; message: string; remedy?: string | undefined };

/** What somebody shall do at a node without a BMC. */
export type OperatorRequest = { node: string; action: string; since: string };

/** What the appliance does, or did, step by step. */
export type Operation = {
  id: string;
  kind: string;
  state: "running" | "undoing" | "done" | "undone" | "stuck";
  summary: string;
  requestedBy: string;
  stuckWhile?: "running" | "undoing" | undefined;
  steps: {
    name: string;
    state: "pending" | "started" | "succeeded" | "failed" | "undone";
    attempts: number;
    startedAt?: string | undefined;
    endedAt?: string | undefined;
    error?: Failure | undefined;
  }[];
  progress?:
    | {
        step: string;
        done: number;
        total: number;
        unit: "bytes" | "seconds" | "things";
        waitingFor?: string | undefined;
      }
    | undefined;
  waitingFor?: Failure | undefined;
  operatorRequest?: OperatorRequest | undefined;
  error?: Failure | undefined;
  createdAt: string;
  endedAt?: string | undefined;
};

/** One boot of a node, stage by stage. */
export type Boot = {
  firmware?: string | undefined;
  network?: string | undefined;
  startedAt: string;
  lastAt: string;
  stages: {
    stage: string;
    at: string;
    sinceStartSeconds: number;
    times: number;
    decision?: string | undefined;
    address?: string | undefined;
    file?: string | undefined;
    why?: string | undefined;
    bytes?: number | undefined;
    transferSeconds?: number | undefined;
    retransmissions?: number | undefined;
  }[];
  refusals: { reason: string; at: string; times: number }[];
  stall?: Stall | undefined;
};

/** Whose an address is; without `expiresAt` it stays. */
export type Lease = {
  address: string;
  network: string;
  mac: string;
  node?: string | undefined;
  state: "bound" | "pinned" | "declined";
  expiresAt?: string | undefined;
  hostname?: string | undefined;
};

/** A machine that asked to boot and that nobody registered. */
export type Discovered = {
  mac: string;
  network?: string | undefined;
  address?: string | undefined;
  firmware?: string | undefined;
  vendorClass?: string | undefined;
  lastSeenAt: string;
};

/** What DHCP does on one network; `drops` are requests dropped unread since the start. */
export type DhcpAnswer = {
  mode: string;
  role: string;
  foreign: { address: string }[];
  drops?: { limited: number; shed: number; dropped: number } | undefined;
};

/** The appliance at a glance. */
export type Status = {
  appliance: string;
  version: string;
  uptimeSeconds: number;
  networks: {
    name: string;
    interface: string;
    address: string;
    subnet: string;
    portals: string[];
    leases: number;
    dhcp?: DhcpAnswer | undefined;
  }[];
  pool: PoolFill | { code: string; message: string };
  counts: {
    nodes: number;
    provisioned: number;
    stalled: number;
    images: number;
    disks: number;
    deleted: number;
    leases: number;
    discovered: number;
  };
  schedules: { disks: number; failures: { disk: string; project: string; at: string; message: string }[] };
  operations: Operation[];
};

/** How full the pool is. */
export type PoolFill = {
  level: "ok" | "warn" | "closed" | "critical";
  usedPercent: number;
  totalBytes: number;
  freeBytes: number;
  filesystem: string;
};

/** How full the pool is, what is held back of it, and what takes up most. */
export type Pool = PoolFill & {
  place: string;
  ballastBytes: number;
  watermarks: { warn: number; close: number; critical: number };
  file?: { path: string; sizeBytes: number; allocatedBytes: number; diskFreeBytes: number } | undefined;
  largest: {
    kind: "image" | "disk";
    id: string;
    name?: string | undefined;
    node?: string | undefined;
    sizeBytes: number;
    usedBytes: number;
  }[];
};

/** One answer of the doctor's checks. */
export type Finding = {
  check: string;
  subject: string;
  state: "ok" | "warning" | "failed";
  message: string;
  remedy?: string | undefined;
};

/** One thing that differs between pool and records. */
export type AdoptionCandidate = {
  kind: "image" | "disk";
  id: string;
  name: string;
  sizeBytes: number;
  standing: "lost" | "gone" | "living" | "undescribed" | "taken" | "differs";
  appliance?: string | undefined;
  node?: string | undefined;
  adopted: boolean;
};

/** One disagreement of records, pool and targets. */
export type Drift = { kind: string; id: string; subject: string; message: string; remedy: string; owner?: string };

/** What a project has, and may have. */
export type Quota = {
  used: { nodes: number; disks: number; images: number; networks: number; bytes: number };
  limits: {
    nodes?: number | undefined;
    disks?: number | undefined;
    networks?: number | undefined;
    images?: number | undefined;
    bytes?: number | undefined;
  };
};
