import ipaddr from "ipaddr.js";
import { z } from "zod";
import { type Ipv4, parseIpv4, parseSubnet, type Subnet } from "../values/ipv4.ts";
import { NAME_PATTERN } from "../values/name.ts";
import { parsed } from "../values/zod.ts";
import { authenticatorMisfits, type RolePlan, roleMisfits } from "./access-checks.ts";
import { type Misfit, networkMisfits, networksMisfits } from "./cross-checks.ts";
import { hilMisfits, isolatedNetworkMisfits, isolationMisfits, ovsMisfits } from "./isolation-checks.ts";

/**
 * The whole configuration, one schema. The README's table of keys is generated
 * from the descriptions (`config/document.ts`); `restart` in a key's meta says
 * that a change takes effect at the next start only.
 */

/** Text with its own parser. `parsed` alone would let numbers pass: YAML reads 10.20 as one. */
const text = <T>(parse: (text: string) => T) => z.string().pipe(parsed<T>(parse) as z.ZodType<T, string>);

const ipv4 = text<Ipv4>(parseIpv4).meta({ kind: "IPv4 address" });
const destination = text<Subnet>((written) => parseSubnet(written, "destination", 0, 32)).meta({ kind: "subnet" });
const subnet = text<Subnet>(parseSubnet).meta({ kind: "subnet" });
const name = z
  .string()
  .regex(
    NAME_PATTERN,
    "use 1 to 63 lower-case letters, digits, dots, dashes or underscores, a letter or digit at the ends",
  )
  .meta({ kind: "name" });
const path = z
  .string()
  .regex(/^\/[^\0]*$/, "write the absolute path, from / on")
  // with a slash at its end it is the same directory
  .overwrite((path) => path.replace(/(?<=.)\/+$/, ""))
  .meta({ kind: "path" });
const loader = z
  .string()
  .regex(
    /^(?!\/)(?!(?:.*\/)?\.\.?(?:\/|$))[^\\\0]+(?<!\/)$/,
    "write a path inside assetsDirectory, without leading /, .. or \\",
  )
  .meta({ kind: "relative path" });
/** One file, or several in the order in which they are tried; always a list from here on. */
const loaderFiles = z
  .union([loader, z.array(loader).min(1).max(8)])
  .transform((written) => [...new Set([written].flat())])
  .meta({ kind: "relative path, or list of them" });
const interfaceName = z
  .string()
  .regex(/^(?!\.\.?$)[^\s/:]{1,15}$/, "write an interface as `ip link` lists it, 1 to 15 characters")
  .meta({ kind: "interface" });
const port = z.number().int().min(1).max(65535);
const vlan = z.number().int().min(1).max(4094).meta({ kind: "VLAN" });
const isolatedName = z
  .string()
  .regex(/^[^\s/]{1,255}$/, "write the name as the isolator shows it: 1 to 255 characters without space and slash")
  .meta({ kind: "name" });
const cephName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, "use 1 to 63 letters, digits, dots, dashes, underscores")
  .meta({ kind: "name" });
const seconds = z.number().int().positive().meta({ kind: "seconds" });
const byteCount = z.number().int().positive().meta({ kind: "bytes" });
const count = z.number().int().positive().meta({ kind: "count" });

const restart = { restart: true };
/** Of what is believed: over plain HTTP anybody on the way could answer. */
const secureUrl = z
  .url({ protocol: /^https?$/ })
  .refine(isSecure, "without TLS it could be forged on the way; use https (http is for loopback alone)");

/** Hands what a cross check found to zod. */
function report(misfits: Misfit[], context: z.RefinementCtx, path: string[] = []): void {
  for (const { path: inner, message } of misfits)
    context.addIssue({ code: "custom", path: [...path, ...inner], message });
}

/** Whether nobody on the way can change what is fetched from there. */
function isSecure(url: string): boolean {
  if (!URL.canParse(url)) return true;
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}

/** Whether this can be a host name, an address, or a range of addresses. */
function isHostOrRange(text: string): boolean {
  if (text.includes("/")) return ipaddr.isValidCIDR(text);
  return ipaddr.isValid(text) || /^(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*$/.test(text);
}

const addressRange = z.strictObject({
  from: ipv4.describe("First address."),
  to: ipv4.describe("Last address, itself included."),
});

const portal = z.strictObject({
  address: ipv4.describe("Address of the appliance where nodes reach their disks."),
  port: port.default(3260).describe("TCP port."),
});

const route = z.strictObject({
  destination: destination.describe("Where the route leads; 0.0.0.0/0 is the default route."),
  gateway: ipv4.describe("Next hop."),
});

const network = z
  .strictObject({
    name: name.meta(restart).describe("What nodes' NICs and commands call this network."),
    interface: interfaceName
      .meta(restart)
      .describe("Linux interface that is served; nothing is answered anywhere else."),
    address: ipv4
      .meta(restart)
      .describe("The appliance's own address there: DHCP server id, TFTP and HTTP boot server."),
    subnet: subnet.meta(restart).describe("The network's addresses."),
    dhcp: z
      .enum(["server", "proxy", "auto", "off"])
      .default("server")
      .meta(restart)
      .describe(
        "What is answered: `server` gives addresses and boot answers; `proxy` boot answers alone, beside another DHCP server; `auto` is a server until it finds another one, then a proxy; `off` answers no DHCP: the other server must send iPXE to http://ADDRESS/boot/MAC.",
      ),
    besideForeignDhcp: z
      .boolean()
      .default(false)
      .describe("Whether `dhcp: server` gives addresses although another DHCP server was found on this network."),
    pool: z.array(addressRange).default([]).meta(restart).describe("Ranges for machines without a fixed address."),
    exclude: z.array(ipv4).default([]).meta(restart).describe("Addresses inside the ranges that are never given out."),
    relayedSubnets: z
      .array(
        z.strictObject({
          subnet: subnet.describe("A subnet behind a DHCP relay; chosen by the relay's address (giaddr)."),
          pool: z.array(addressRange).default([]).describe("Ranges of that subnet."),
          router: ipv4.optional().describe("Its default gateway."),
        }),
      )
      .default([])
      .meta(restart)
      .describe(
        "Subnets whose requests arrive through a relay. In `proxy`, where boot tokens may go; only `subnet` is given then.",
      ),
    leaseSeconds: seconds
      .default(3600)
      .meta(restart)
      .describe("Length of a lease; renewal at half, rebinding at seven eighths."),
    router: ipv4.optional().meta(restart).describe("Default gateway told to nodes (option 3)."),
    dns: z.array(ipv4).default([]).meta(restart).describe("Name servers (option 6)."),
    ntp: z.array(ipv4).default([]).meta(restart).describe("Time servers (option 42)."),
    domain: z.string().optional().meta(restart).describe("Domain name (option 15)."),
    search: z.array(z.string()).default([]).meta(restart).describe("Domain search list (option 119)."),
    mtu: z
      .number()
      .int()
      .min(576)
      .max(65535)
      .optional()
      .meta(restart)
      .describe("Interface MTU told to nodes (option 26)."),
    routes: z.array(route).default([]).meta(restart).describe("Classless static routes (option 121)."),
    unknown: z
      .enum(["ignore", "exit", "hold"])
      .default("exit")
      .describe("What a machine that nobody registered gets: no answer, its next boot device, or a waiting screen."),
    httpPort: port.default(80).meta(restart).describe("Port of the HTTP boot server."),
    portals: z.array(portal).min(1).meta(restart).describe("Where this network's nodes reach their disks."),
    tgtd: z
      .strictObject({
        control: z
          .number()
          .int()
          .min(0)
          .max(32767)
          .meta(restart)
          .describe("tgtd's control number (`tgtd -C`), one per network: the sockets are machine-wide."),
      })
      .describe("The iSCSI target daemon of this network."),
    project: name
      .optional()
      .describe("The one project whose nodes may boot on this network; without it, those of every project may."),
    isolatedAs: isolatedName
      .optional()
      .describe("What the network isolator calls this network; its name here by default."),
    vlan: vlan
      .optional()
      .describe(
        "VLAN of this network at the isolator, which makes the network there; without it, it is there already.",
      ),
  })
  .superRefine((one, context) => report(networkMisfits(one), context));

const loaders = z.strictObject({
  bios: loaderFiles.optional().describe("Loaders for PXE BIOS firmware."),
  "uefi-x64": loaderFiles.optional().describe("Loaders for UEFI PXE, x86-64 (architectures 7 and 9)."),
  "uefi-arm64": loaderFiles.optional().describe("Loaders for UEFI PXE, arm64 (architecture 11)."),
  "uefi-http-x64": loaderFiles.optional().describe("Loaders for UEFI HTTP boot, x86-64 (architecture 16)."),
  "uefi-http-arm64": loaderFiles.optional().describe("Loaders for UEFI HTTP boot, arm64 (architecture 19)."),
});

const percent = z.number().int().min(1).max(100).meta({ kind: "percent" });
const watermarks = z
  .strictObject({
    warn: percent.default(80).describe("From here on `ingot status`, `ingot doctor` and the log warn."),
    close: percent.default(90).describe("From here on nothing is cloned, imported or snapshotted."),
    critical: percent
      .default(95)
      .describe(
        "Here the ballast is given to the disks of running nodes; imports stop short of it (as of storaged's start).",
      ),
  })
  .refine(({ warn, close, critical }) => warn < close && close < critical, {
    path: ["close"],
    error: "the marks must rise: warn, close, critical; set close between the other two",
  })
  .prefault({})
  .describe("How full the pool may get, in percent; the ballast that is held back counts as free.");

const hil = z
  .strictObject({
    url: z.url({ protocol: /^https?$/ }).describe("Where HIL is, as `http://hil.example:5000`."),
    user: z.string().min(1).optional().describe("HIL's user for Ingot; best an admin there."),
    passwordFile: path.optional().describe("File with that user's password; mode 0400."),
    tokenFile: path
      .optional()
      .describe("File with a token to send as `X-Auth-Token`, in place of user and password; mode 0400."),
  })
  .superRefine((one, context) => report(hilMisfits(one), context));

const openVswitch = z
  .strictObject({
    bridge: interfaceName.meta(restart).describe("The bridge that nodes are cabled to."),
    socket: path
      .optional()
      .meta(restart)
      .describe("Unix socket of ovsdb-server on this machine, as `/run/openvswitch/db.sock`."),
    host: z
      .string()
      .min(1)
      .optional()
      .meta(restart)
      .describe("A switch elsewhere: where its ovsdb-server listens by TLS."),
    port: port.default(6640).meta(restart).describe("TCP port there."),
    caFile: path.optional().meta(restart).describe("With `host`: certificate of who signed the switch's, PEM."),
    certificateFile: path.optional().meta(restart).describe("With `host`: Ingot's certificate, PEM."),
    keyFile: path.optional().meta(restart).describe("With `host`: its key, PEM; mode 0400."),
    vlans: z
      .strictObject({
        first: vlan.describe("First VLAN for networks that name none."),
        last: vlan.describe("Last VLAN for them."),
      })
      .meta(restart)
      .describe("VLANs that tenants' networks get."),
  })
  .superRefine((one, context) => report(ovsMisfits(one), context));

const isolation = z
  .strictObject({
    driver: z
      .enum(["none", "hil", "ovs"])
      .default("none")
      .meta(restart)
      .describe("Who separates nodes from each other: `none`, nobody; `hil`, HIL; `ovs`, a bridge of Open vSwitch."),
    changeSeconds: seconds.default(60).describe("How long one change of a NIC's networks may take."),
    projects: z
      .record(name, isolatedName)
      .default({})
      .meta({ kind: "table" })
      .describe("What the isolator calls projects, where that is another name: `{red: Red-Team}`."),
    hil: hil.optional().describe("HIL, the Hardware Isolation Layer; also for nodes whose power it controls."),
    ovs: openVswitch.optional().meta(restart).describe("Of `ovs`: the switch."),
  })
  .prefault({})
  .superRefine((one, context) => report(isolationMisfits(one), context))
  .describe("Services that separate nodes from each other.");

/** A role, as tables of them have it. */
const roleKeys = {
  role: z.enum(["admin", "operator", "member", "viewer"]).describe("What they are."),
  project: name.optional().describe("Where a `member` or `viewer` is so."),
};
const checkRole = (one: RolePlan, context: z.RefinementCtx) => report(roleMisfits(one), context);

const hilLogin = z
  .strictObject({
    cacheSeconds: z
      .number()
      .int()
      .min(1)
      .max(3600)
      .default(60)
      .describe("So long HIL is believed about somebody; whoever it has shut out since then is in still."),
    projectRole: z
      .enum(["none", "viewer", "member"])
      .default("member")
      .describe(
        "What somebody is in the projects of the same name (or of `isolation.projects`) that HIL lets them have.",
      ),
    roles: z
      .array(z.strictObject({ user: z.string().min(1).describe("Name at HIL."), ...roleKeys }).superRefine(checkRole))
      .default([])
      .describe("Further roles of HIL's users."),
  })
  .prefault({})
  .describe("Of the authenticator `hil`: who is what.");

const oidc = z
  .strictObject({
    issuer: secureUrl.optional().meta(restart).describe("The issuer, exactly as its tokens' `iss` says."),
    audience: z.string().min(1).optional().meta(restart).describe("What tokens for Ingot have in `aud`."),
    jwksUrl: secureUrl
      .optional()
      .meta(restart)
      .describe("Where its keys are; by its discovery document where this is left out."),
    algorithms: z
      .array(z.enum(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]))
      .min(1)
      .default(["RS256", "PS256", "ES256", "EdDSA"])
      .meta(restart)
      .describe("Signatures that are believed; each with a key of the issuer's own."),
    clockToleranceSeconds: z
      .number()
      .int()
      .min(0)
      .max(300)
      .default(30)
      .meta(restart)
      .describe("How far the issuer's clock may be from this one."),
    nameClaim: z
      .string()
      .min(1)
      .default("sub")
      .meta(restart)
      .describe("The claim that is the user's name here; one that the issuer gives to nobody else, ever."),
    groupsClaim: z
      .string()
      .min(1)
      .default("groups")
      .meta(restart)
      .describe("The claim with the user's groups; `realm_access.roles` is one inside another."),
    roles: z
      .array(
        z
          .strictObject({ group: z.string().min(1).describe("As the claim has it."), ...roleKeys })
          .superRefine(checkRole),
      )
      .default([])
      .describe("What those of a group are."),
  })
  .prefault({})
  .describe("Of the authenticator `oidc`: whose tokens are believed, and who is what.");

export const configSchema = z
  .strictObject({
    stateDirectory: path
      .default("/var/lib/ingot")
      .meta(restart)
      .describe("Records, journal, secrets. Owned by ingotd."),
    runtimeDirectory: path.default("/run/ingot").meta(restart).describe("Sockets: api.sock and storaged.sock."),
    assetsDirectory: path
      .default("/usr/share/ingot/boot-assets")
      .meta(restart)
      .describe("Files served by TFTP and under /assets/ by HTTP."),
    log: z
      .strictObject({
        level: z
          .enum(["trace", "debug", "info", "warn", "error"])
          .default("info")
          .meta(restart)
          .describe("Least severity that is logged."),
      })
      .prefault({})
      .describe("Log output: JSON lines on standard output."),
    networks: z
      .array(network)
      .min(1)
      .meta(restart)
      .describe(
        "Provisioning networks, each served on its own interface; one that is added or removed needs a restart.",
      ),
    loaders: loaders
      .prefault({
        bios: ["undionly.kpxe", "ipxe.pxe"],
        "uefi-x64": ["snponly.efi", "ipxe.efi"],
        "uefi-http-x64": ["snponly.efi", "ipxe.efi"],
      })
      .describe(
        "iPXE files per firmware class, relative to assetsDirectory. A node whose boot got stuck after one is given the next, and begins with the one that worked; a class without any is refused, and the timeline says so. Once given, it replaces all of its defaults.",
      ),
    tftp: z
      .strictObject({
        maxTransfers: count.default(512).describe("Transfers at a time, all clients together."),
        maxTransfersPerClient: count.default(8).describe("Transfers at a time of one address."),
      })
      .prefault({})
      .describe("TFTP limits."),
    pool: z
      .strictObject({
        store: z
          .enum(["file", "rbd"])
          .default("file")
          .meta(restart)
          .describe("Where images and disks live: `file`, in a local directory; `rbd`, in a Ceph pool."),
        directory: path
          .default("/var/lib/ingot-pool")
          .meta(restart)
          .describe("Of `file`: the image pool, on XFS or btrfs (reflinks)."),
        rbd: z
          .strictObject({
            conf: path
              .default("/etc/ceph/ceph.conf")
              .meta(restart)
              .describe("Ceph's configuration file; it names the monitors and the user's keyring."),
            user: cephName.default("ingot").meta(restart).describe("User of cephx, without `client.`."),
            pool: cephName.default("ingot").meta(restart).describe("Ceph pool; several appliances may share one."),
            via: z
              .enum(["librbd", "command"])
              .default("librbd")
              .meta(restart)
              .describe(
                "How the cluster is spoken to: `librbd`, in a process of its own; `command`, by `rbd`, ten times slower.",
              ),
            spoolDirectory: path
              .default("/var/lib/ingot-spool")
              .meta(restart)
              .describe("Where images are unpacked on their way to Ceph; as large as the largest."),
          })
          .prefault({})
          .describe("Of `rbd`: the cluster."),
        importDirectories: z
          .array(path)
          .default(["/var/lib/ingot-import"])
          .meta(restart)
          .describe("Where image files may be imported from."),
        exportDirectories: z
          .array(path)
          .default(["/var/lib/ingot-export"])
          .meta(restart)
          .describe("Where images may be exported to."),
        importFrom: z
          .array(z.string().refine(isHostOrRange, "name a host, an address, or a range of addresses like 10.1.0.0/16"))
          .default([])
          .describe(
            "Hosts and networks that images may be fetched from although they are not public: names, addresses, ranges.",
          ),
        incoming: z
          .strictObject({
            directory: path
              .default("/var/lib/ingot-incoming")
              .meta(restart)
              .describe(
                "Where uploads and fetched files wait until they are whole. Owned by ingotd, closed to others.",
              ),
            maxBytes: byteCount
              .default(512 * 1024 ** 3)
              .meta(restart)
              .describe("All of them together, as long as they will be; the disk below keeps 5 % free besides."),
            expireSeconds: seconds
              .default(86_400)
              .describe("An upload that nobody goes on with is dropped after so long."),
            stallSeconds: seconds.default(60).describe("A server that sends nothing for so long is given up."),
          })
          .prefault({})
          .describe("Images that come over the network."),
        maxImageBytes: byteCount
          .default(2 * 1024 ** 4)
          .meta(restart)
          .describe("Longest content of an image; a small file may unpack to any size."),
        watermarks,
      })
      .prefault({})
      .describe("The image pool."),
    disks: z
      .strictObject({
        graceHours: z
          .number()
          .int()
          .min(0)
          .max(8760)
          .default(72)
          .meta({ kind: "0 to 8760" })
          .describe(
            "How long a deleted disk can be undeleted; 0 deletes at once. A pool at `close` is given the oldest earlier.",
          ),
        maxChainDepth: count
          .default(10)
          .describe(
            "Of `rbd`: disks and images whose reads may go through more others than this are flattened in the background.",
          ),
      })
      .prefault({})
      .describe("What becomes of disks."),
    chap: z
      .enum(["one-way", "mutual"])
      .default("one-way")
      .describe("CHAP of new attachments; mutual lets the node check the target too."),
    arming: z
      .enum(["rearm", "strict", "open"])
      .default("rearm")
      .describe(
        "When a node whose OS was up gets its disk's secret again: `rearm`, once nothing was heard from that OS for 12 s; `strict`, after power actions through Ingot or when its BMC tells of a restart; `open`, whenever somebody asks in its name.",
      ),
    operations: z
      .strictObject({
        loginSeconds: seconds.default(300).describe("From power-on to the OS's iSCSI login."),
        readySeconds: seconds.default(600).describe("From iSCSI login to the phone-home, for images that phone home."),
        softOffSeconds: seconds.default(60).describe("How long an ACPI soft-off may take before the power is cut."),
        bmcSeconds: seconds.default(60).describe("Deadline of one power action, retries included."),
      })
      .prefault({})
      .describe("Deadlines of operations."),
    audit: z
      .strictObject({
        maxBytes: byteCount
          .default(1024 ** 3)
          .meta(restart)
          .describe("Room for the audit log in stateDirectory; its oldest files go when it is longer."),
        tenureDays: count
          .default(400)
          .describe("So long it is known who had which node, address and disk (`ingot who`, `ingot usage`)."),
      })
      .prefault({})
      .describe("Who did what."),
    consoles: z
      .strictObject({
        enabled: z
          .boolean()
          .default(true)
          .meta(restart)
          .describe("Whether the serial lines of nodes with an IPMI BMC are kept open and logged."),
        maxBytes: byteCount
          .min(65_536)
          .default(2 * 1024 ** 2)
          .meta(restart)
          .describe("Room for the log of each node's serial line, in stateDirectory."),
      })
      .prefault({})
      .describe("Serial lines of nodes."),
    isolation,
    api: z
      .strictObject({
        listen: z
          .strictObject({
            address: ipv4
              .default("127.0.0.1" as Ipv4)
              .meta(restart)
              .describe("Address; other than loopback wants TLS in front."),
            port: z
              .number()
              .int()
              .min(0)
              .max(65535)
              .optional()
              .meta(restart)
              .describe("Port; 0 turns the TCP listener off. Without it: 8470 with api.tokenFile, else off."),
          })
          .prefault({})
          .describe(
            "TCP listener of the admin API; needs a token or a password. The unix socket obeys file mode instead.",
          ),
        tokenFile: path
          .optional()
          .meta(restart)
          .describe("File with a token for the TCP listener that may do everything; mode 0600."),
        authenticators: z
          .array(z.enum(["hil", "oidc"]))
          .max(2)
          .default([])
          .meta(restart)
          .describe(
            "Who tells callers on TCP beside Ingot's own tokens and users: `hil`, HIL at `isolation.hil`; `oidc`, the issuer of `api.oidc`.",
          ),
        hil: hilLogin,
        oidc,
      })
      .prefault({})
      .describe("Admin API."),
  })
  .superRefine((config, context) => {
    report(networksMisfits(config.networks), context, ["networks"]);
    report(authenticatorMisfits(config.api, config.isolation.hil !== undefined), context, ["api"]);
    report(isolatedNetworkMisfits(config), context, ["networks"]);
    if (config.pool.directory === config.stateDirectory) {
      const message = `the pool can't be the state directory; a full pool would stop the journal, name another`;
      report([{ path: ["pool", "directory"], message }], context);
    }
  });

/** The configuration after defaults and checks. */
export type Config = z.output<typeof configSchema>;
/** One provisioning network of it. */
export type NetworkConfig = Config["networks"][number];
