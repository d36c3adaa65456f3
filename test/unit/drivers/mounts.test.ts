import { describe, expect, it } from "vitest";
import { findMountAbove, parseMounts } from "../../../src/drivers/images/mounts.ts";

const MOUNTS = parseMounts(`22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 22 7:0 / /var/lib/ingot-pool rw shared:5 master:2 - xfs /dev/loop0 rw,attr2
32 22 0:30 / /var/lib/ingot-pool/under rw - tmpfs tmpfs rw
33 22 7:1 / /srv/my\\040pool rw - btrfs /dev/loop1 rw
34 33 7:2 / /srv/my\\040pool rw - xfs /dev/loop2 rw
`);

describe("mounts", () => {
  it.each([
    ["/var/lib/ingot-pool", "/dev/loop0"],
    ["/var/lib/ingot-pool/disks", "/dev/loop0"],
    ["/var/lib/ingot-pool/under/x", "tmpfs"],
    ["/var/lib/ingot-pool-2", "/dev/vda1"],
    ["/", "/dev/vda1"],
    ["/srv/my pool/disks", "/dev/loop2"],
  ])("%s lives on %s", (path, device) => {
    expect(findMountAbove(MOUNTS, path)?.device).toBe(device);
  });
});
