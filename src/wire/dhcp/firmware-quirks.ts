/** Something that firmware wants otherwise than one would think from the standards, and what is done about it. */
export type FirmwareQuirk = {
  /** Whose quirk it is. What all firmware tolerates is done for all. */
  who: string;
  /** What happens without the cure. */
  symptom: string;
  cure: string;
  /** Public reports, or the firmware's own source. */
  sources: readonly [string, ...string[]];
};

const EDK2 = "https://github.com/tianocore/edk2/blob/master/NetworkPkg/UefiPxeBcDxe";

/**
 * Every quirk that we know a public source for; what a cure needs as numbers stands here too, and the code reads it
 * from here. test/unit/dhcp/firmware-quirks.test.ts has a packet for each.
 */
export const FIRMWARE_QUIRKS = {
  optionsFirst: {
    who: "Windows XP, Xbox and other small DHCP clients",
    symptom: "They pass over an offer that does not begin with message type, server and lease.",
    cure: "These options come first, in this order; the others follow in the client's own.",
    sources: ["https://github.com/rawify/dhcp.js/issues/56"],
    codes: [53, 54, 51],
  },
  unterminatedFileName: {
    who: "UEFI and Intel PXE ROMs of about 2005 to 2015, on Kontron, Gigabyte, Jetway and Lenovo boards",
    symptom:
      "They read option 67 as a NUL-terminated text and ask TFTP for a name with 0xff or the next option behind it.",
    cure: "A PAD follows the option, outside its length, so that it reads right both ways.",
    sources: [
      "http://lists.thekelleys.org.uk/pipermail/dnsmasq-discuss/2006q1/000592.html",
      "https://github.com/netbootxyz/netboot.xyz/issues/1198",
      "https://github.com/garybowers/bootimus/pull/117",
      `${EDK2}/PxeBcDhcp4.c`,
    ],
    codes: [67],
  },
  padAmongOptions: {
    who: "older U-Boot",
    symptom: "It takes a PAD for an option with a length and loses its place among the options behind.",
    cure: "The one option with a PAD behind it comes last; only a relay's own follows. Filling comes behind END.",
    sources: ["https://github.com/insomniacslk/dhcp/pull/408"],
  },
  shortReplies: {
    who: "BOOTP relays, OPNsense's among them",
    symptom: "They drop replies of less than 300 bytes.",
    cure: "Replies are filled up to that length.",
    sources: ["https://github.com/insomniacslk/dhcp/pull/261", "https://github.com/opnsense/core/issues/7744"],
    minimumBytes: 300,
  },
  fileInHeader: {
    who: "U-Boot, LynxOS's Etherboot and old BIOS ROMs look into the header alone; EDK2 prefers option 67",
    symptom: "PXE-E53, no boot file name, or the file of another server.",
    cure: "The name stands in both places. It is never pushed out of the header to make room for options.",
    sources: [
      "https://github.com/siderolabs/booter/pull/12",
      "http://lists.thekelleys.org.uk/pipermail/dnsmasq-discuss/2007q4/001645.html",
      "http://etherboot.org/wiki/dnsmasq",
      `${EDK2}/PxeBcDhcp4.c`,
    ],
  },
  serverInHeader: {
    who: "most PXE ROMs: they have no name resolution and do not read option 66",
    symptom: "The loader is asked of the DHCP server, or of 0.0.0.0.",
    cure: "Next-server, server name and option 66 all hold the address; option 43 lists no boot server, which EDK2 would prefer.",
    sources: ["https://github.com/flan/staticdhcpd/issues/31", `${EDK2}/PxeBcBoot.c`],
  },
  classAnswered: {
    who: "PXE clients beside more than one DHCP server",
    symptom: "They take the offer that calls itself PXEClient before one that does not.",
    cure: "Option 60 answers PXEClient.",
    sources: ["https://github.com/tinkerbell/smee/pull/149", "https://github.com/warewulf/warewulf3/pull/137"],
  },
  fileInOffer: {
    who: "EDK2 and Intel's boot agent, once option 60 says PXEClient",
    symptom: "Without option 43 they ask port 4011 for the rest of a complete offer: PXE-E55 or PXE-E16.",
    cure: "Option 43 says that the boot file is in the offer (discovery control 8). Who asks port 4011 still gets all again.",
    sources: [
      "https://github.com/FOGProject/fog-docs/pull/188",
      "https://github.com/tianocore/edk2/issues/8149",
      "http://support.microsoft.com/kb/259670",
    ],
    discoveryControl: 8,
  },
  encapsulatedEnd: {
    who: "boot ROMs that walk through option 43 to its END, as PXE 2.1 writes it",
    symptom: "Without an END inside, they take the next option for a part of it, and miss the boot server.",
    cure: "Options inside options end with an END of their own.",
    sources: [
      "https://unix.stackexchange.com/questions/506758/how-to-set-option-43-with-isc-kea-dhcp-server-to-boot-raspberry-pis",
    ],
  },
  ipxeBesideProxy: {
    who: "iPXE in a ROM, where another server gives the address",
    symptom: "It takes an offer without an address only from who calls itself PXEClient.",
    cure: "A proxy's answer has options 60 and 43 for iPXE, too, and does not say that there is no proxy.",
    sources: [
      "https://git.ipfire.org/?a=commit&h=aa74a7d53cb972775efb0f3412f9cbc3b929ee43&p=thirdparty%2Fipxe.git",
      "https://github.com/claytono/infra/pull/734",
    ],
  },
  secondLoader: {
    who: "NICs that one build of iPXE can't drive: Broadcom BCM5720, Intel X550",
    symptom: "The loader starts and gets no address (No configuration methods succeeded), each time.",
    cure: "The next attempt gets the other loader of its class: through the firmware's driver, or with iPXE's own.",
    sources: ["https://github.com/ipxe/ipxe/issues/923", "https://github.com/ipxe/ipxe/issues/1337"],
  },
  noProxy: {
    who: "iPXE",
    symptom: "It waits two seconds in each boot for a ProxyDHCP server.",
    cure: "Its option 176 says that there is none.",
    sources: [
      "https://gitverse.ru/githubmirror/ipxe/content/master/src/config/dhcp.h",
      "https://gist.github.com/zxp/5710675",
    ],
  },
  httpClass: {
    who: "UEFI HTTP boot",
    symptom: "It passes over offers that do not call themselves HTTPClient, or whose boot file is no URI.",
    cure: "Option 60 answers HTTPClient, option 67 is a whole URI, and there is no option 43.",
    sources: ["https://github.com/tianocore/tianocore.github.io/wiki/HTTP-Boot", "https://hannan.au/posts/pxe-dhcp"],
  },
  noMachineId: {
    who: "Intel NICs of some Supermicro boards",
    symptom: "They send no option 97, and an answer with one that they did not send is passed over.",
    cure: "The machine's UUID is asked of nobody and sent back only to who sent it.",
    sources: ["https://github.com/danderson/pixiecore/issues/21"],
  },
  noArchitecture: {
    who: "old BIOS ROMs",
    symptom: "Without option 93 they would be nobody's kind, and get no loader.",
    cure: "Option 60 tells (PXEClient:Arch:00000); a bare PXEClient is a BIOS.",
    sources: ["https://github.com/ipxe/ipxe/issues/1527"],
  },
  architectureNumbers: {
    who: "UEFI on x86-64: RFC 4578 and its erratum call it 9 and 7 in turn; VMware is 9, Dell lists 8 as well",
    symptom: "With a loader for one of the numbers alone, machines hang at Start PXE over IPv4.",
    cure: "All of them are x86-64. 6 is a 32-bit UEFI, which x86-64 loaders can't serve.",
    sources: [
      "https://serverfault.com/questions/349693/what-is-the-pxe-client-system-architecture-type-bc-efi-7-from-rfc-4578/963302",
      "https://github.com/danderson/netboot/pull/30",
      "https://github.com/linuxserver/docker-netbootxyz/issues/8",
      "http://38.142.81.21:8001/manual/dell/general-solution-resources/2-1-administrator-guide-english/page-13.html",
    ],
    x64: [7, 8, 9],
  },
  raspberryPi: {
    who: "Raspberry Pi's boot ROM, which asks as a PC with a BIOS does (architecture 0)",
    symptom: "It would be given a loader for PCs, asks for its own bootcode.bin instead, and does so for ever.",
    cure: "Its makers' addresses with architecture 0 are of no class: refused with a reason. As UEFI it is served.",
    sources: [
      "https://unix.stackexchange.com/questions/506758/how-to-set-option-43-with-isc-kea-dhcp-server-to-boot-raspberry-pis",
      "https://github.com/raspberrypi/firmware/issues/1265",
      "https://github.com/TechnitiumSoftware/DnsServer/issues/183",
      "https://wol.ski/blog/2024-05-18-raspberry-pi-dhcpd-netboot",
      "https://raspberrypi.stackexchange.com/questions/28365/what-are-the-possible-ouis-for-the-ethernet-mac-address",
    ],
    makers: ["28:cd:c1", "2c:cf:67", "b8:27:eb", "d8:3a:dd", "dc:a6:32", "e4:5f:01"],
  },
  menuLine: {
    who: "EDK2",
    symptom: "A menu line of 70 characters or more is written past a buffer when it is selected.",
    cure: "Menu lines are shorter.",
    sources: [`${EDK2}/PxeBcBoot.c`],
    columns: 69,
  },
} as const satisfies Record<string, FirmwareQuirk & Record<string, unknown>>;
