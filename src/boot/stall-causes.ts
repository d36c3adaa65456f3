import { subnetContains } from "../values/ipv4.ts";
import type { BootSession, RefusalSeen, StageSeen } from "./boot-session.ts";
import { find } from "./boot-session.ts";
import { explainRefusal } from "./refusals.ts";
import type { BootPlan, StallCause, StallKind } from "./stall.ts";

/** What is known of a boot that waits. */
export type Sight = BootPlan & {
  boot: BootSession;
  /** The last stage that it reached. */
  stage: StageSeen | undefined;
  /** What it was refused since. */
  refusals: readonly RefusalSeen[];
};

type Diagnosis = { symptom: (sight: Sight) => string; causes: (sight: Sight) => (StallCause | undefined)[] };

const because = (cause: string, remedy: string): StallCause => ({ cause, remedy });

const PORTFAST = "turn portfast (RSTP edge) on at its port; no LACP there, or only with fallback";
const CONSOLE = "look at its console";

const DIAGNOSES: Record<Exclude<StallKind, "refused">, Diagnosis> = {
  "no-dhcp": {
    symptom: () => "switched on, no DHCP request since",
    causes: ({ entry, network }) => [
      because(
        `its boot NIC ${entry.mac} is not connected to network ${entry.network}`,
        "look at the link light, the cable, and the VLAN of the switch port: untagged",
      ),
      because("its firmware does not boot from that NIC", "set network boot over IPv4 first in its boot order"),
      because("the switch port blocks it longer than its firmware asks", PORTFAST),
      because("its self-test still runs, or halts", CONSOLE),
      because(
        "a firewall on the appliance drops DHCP",
        `let udp port 67 in on ${network?.interface ?? "its interface"}; ingot doctor looks whether Ingot listens`,
      ),
    ],
  },
  "offer-not-taken": {
    symptom: ({ stage }) => `${stage?.address} offered ${times(stage)}, never acknowledged`,
    causes: ({ entry, network, refusals }) => [
      refusals.some(({ reason }) => reason === "other-dhcp-server")
        ? undefined
        : because(
            "another DHCP server answered first",
            `look for one on ${entry.network}; stop it, or let Ingot answer beside it (networks[].dhcp: proxy)`,
          ),
      because("the switch port blocks what comes back to it, or DHCP snooping does", `${PORTFAST}; trust our port`),
      because(
        "our offer, a broadcast, is lost on the way back",
        `tcpdump -ni ${network?.interface ?? "INTERFACE"} port 67 shows it leave; a relay must pass it on to the node`,
      ),
    ],
  },
  "loader-not-fetched": {
    symptom: ({ stage }) => `told to fetch ${stage?.file ?? "a loader"}, never asked for it`,
    causes: ({ network, boot }) => [
      because(
        "a firewall on the appliance or between drops its request",
        boot.client?.firmware?.startsWith("uefi-http")
          ? `let tcp port ${network?.httpPort ?? 80} in on ${network?.interface ?? "its interface"}`
          : `let udp port 69, and the answers from other ports, pass on ${network?.interface ?? "its interface"}`,
      ),
      because("another DHCP server told it another boot server", "take options 66 and 67 out of that server's answers"),
      because(
        "its ROM does not understand the answer",
        "bring the NIC's firmware up to date; try UEFI instead of BIOS",
      ),
    ],
  },
  "loader-incomplete": {
    symptom: ({ refusals }) => {
      const { file = "the loader", bytes = 0 } = refusals.findLast((one) => one.file !== undefined) ?? {};
      return `${file} begun and not finished (${bytes} bytes)`;
    },
    causes: ({ network }) => [
      because(
        "large packets are lost: something between has a smaller MTU",
        `compare the switch's MTU with ip link show ${network?.interface ?? "INTERFACE"}`,
      ),
      because(
        "a firewall passes udp port 69 alone, and not the ports that TFTP moves to",
        "let udp pass between the node and the appliance",
      ),
    ],
  },
  "loader-silent": {
    symptom: ({ stage }) => `${stage?.file ?? "the loader"} fetched, no request of an iPXE since`,
    causes: ({ boot, stage }) => [
      because(
        `${stage?.file ?? "this loader"} does not run on its firmware (${boot.client?.firmware ?? "unknown kind"})`,
        "name another one for it under `loaders` in the configuration",
      ),
      boot.client?.firmware?.startsWith("uefi")
        ? because("Secure Boot refuses it, since it is not signed", "switch Secure Boot off in its firmware")
        : undefined,
      because("the loader brings the link up anew, and the switch port blocks it", PORTFAST),
      because("the loader does not drive its NIC", "use ipxe.efi or ipxe.pxe, which have drivers of their own"),
    ],
  },
  "no-script": {
    symptom: ({ stage }) => `iPXE has ${stage?.address ?? "an address"}, asks for no script`,
    causes: ({ network }) => [
      because(
        `it can't reach http://${network?.address ?? "APPLIANCE"}:${network?.httpPort ?? 80}/`,
        `let tcp port ${network?.httpPort ?? 80} in on ${network?.interface ?? "its interface"}; ingot doctor looks whether Ingot listens`,
      ),
      because(
        "its iPXE was told otherwise by a script of its own, or by another DHCP server",
        `${CONSOLE}: it names the URL that it fetches`,
      ),
    ],
  },
  "no-login": {
    symptom: () => "script sent, no iSCSI login",
    causes: (sight) => [
      routeMissing(sight),
      because(
        `it can't reach the portal ${portals(sight)}`,
        `let tcp port ${sight.entry.portals[0]?.port ?? 3260} in on the appliance; ingot doctor looks whether tgtd listens`,
      ),
      because(
        `its target is missing, or not open to ${sight.entry.address ?? sight.entry.initiator}`,
        "ingot doctor compares it with what it should be, and names what differs",
      ),
      because(
        "its CHAP secret is not the target's",
        `take the disk up anew, which makes a new one: ingot deprovision ${sight.entry.nodeName}, ingot provision --disk`,
      ),
      because("large packets are lost: something between has a smaller MTU", "set networks[].mtu to the smallest one"),
    ],
  },
  "no-read": {
    symptom: () => "iPXE logged in, reads nothing",
    causes: () => [
      because("its disk is not behind the target", "ingot doctor compares it; journalctl -u ingot-storaged"),
      because("large packets are lost: something between has a smaller MTU", "set networks[].mtu to the smallest one"),
      because("its firmware can't boot from a network disk", `${CONSOLE}; bring its firmware up to date`),
    ],
  },
  "no-os-login": {
    symptom: ({ boot }) =>
      find(boot, "dhcp-os")
        ? "its OS has an address, and does not log in to its disk"
        : "iPXE read its disk, its OS does not log in",
    causes: ({ boot }) => [
      (find(boot, "script")?.times ?? 0) > 1
        ? because(
            "the disk has no boot loader for this firmware: iPXE comes back and asks anew",
            "make an image for it: an EFI system partition for UEFI, a boot sector for BIOS",
          )
        : undefined,
      because(
        "the image's initramfs does not bring up iSCSI from the iBFT",
        "in the image: open-iscsi, ISCSI_AUTO=true in /etc/iscsi/iscsi.initramfs, then update-initramfs -u",
      ),
      find(boot, "dhcp-os")
        ? undefined
        : because(
            "the initramfs lacks the driver of its boot NIC",
            "in the image: MODULES=most in initramfs.conf, a kernel for metal (linux-image-amd64)",
          ),
      because("the kernel stopped, or asks something", CONSOLE),
    ],
  },
  "not-ready": {
    symptom: () => "its OS has its disk, and does not phone home",
    causes: ({ entry, network }) => [
      because(
        "nothing in the image phones home",
        `POST http://${network?.address ?? "APPLIANCE"}/boot/${entry.mac}/ready at the end of its boot; or import it without --phones-home`,
      ),
      because("its OS hangs on its way up", CONSOLE),
      because("its OS has brought up another address, or none", "leave the boot NIC to the initramfs in the image"),
    ],
  },
};

/** One line: what was seen last, and what is missing. */
export function symptomOf(kind: Exclude<StallKind, "refused">, sight: Sight): string {
  return DIAGNOSES[kind].symptom(sight);
}

/** What may be behind it, the likeliest first: what was seen before what is guessed. */
export function causesOf(kind: Exclude<StallKind, "refused">, sight: Sight): StallCause[] {
  const seen = sight.refusals.map((refusal) => explainRefusal(refusal, sight));
  return [...seen, ...DIAGNOSES[kind].causes(sight).filter((one) => one !== undefined)];
}

function times(stage: StageSeen | undefined): string {
  return stage?.times === 1 ? "once" : `${stage?.times} times`;
}

function portals({ entry }: Sight): string {
  return entry.portals.map(({ address, port }) => `${address}:${port}`).join(", ");
}

/** A portal outside of the node's subnet takes a route that DHCP must tell. */
function routeMissing({ entry, network }: Sight): StallCause | undefined {
  if (!network || network.router || network.routes.length > 0) return undefined;
  const far = entry.portals.find(({ address }) => !subnetContains(network.subnet, address));
  return (
    far &&
    because(
      `it is told no route to the portal ${far.address}`,
      "name networks[].router or networks[].routes, or a portal inside the subnet",
    )
  );
}
