#!/bin/sh
# Makes an Ingot appliance of a Debian 12 machine. Run it as root, from wherever the sources lie; run it
# again to bring an appliance up to date: configuration, state and pool are left as they are.
# usage: systemd/install.sh [POOL_SIZE]     e.g. 200G; without it a pool has to be mounted on /var/lib/ingot-pool
#        systemd/install.sh ceph            images and disks in a Ceph pool (pool.store: rbd)
set -eu
source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
home=/usr/lib/ingot
pool=/var/lib/ingot-pool
pool_file=/var/lib/ingot-pool.img

fail() { echo "install.sh: $1" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "needs root: sudo sh systemd/install.sh"
[ -d /run/systemd/system ] || fail "systemd does not run here"
command -v apt-get >/dev/null || fail "this is not Debian"

echo "== packages"
apt-get -qq update
# Debian's own radvd would have a configuration of its own, or none and fail.
systemctl mask --quiet --now radvd.service 2>/dev/null || ln -sf /dev/null /etc/systemd/system/radvd.service
# Debian's own tgtd must not come up on every address, not even for a moment.
systemctl mask --quiet --now tgt.service 2>/dev/null || ln -sf /dev/null /etc/systemd/system/tgt.service
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
  bubblewrap gzip ipmitool ipxe nftables qemu-utils radvd rsync tgt util-linux xfsprogs xz-utils zstd
[ "${1:-}" != ceph ] || DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends ceph-common tgt-rbd

echo "== user and directories"
getent passwd ingot >/dev/null || adduser --system --group --home /var/lib/ingot --no-create-home --quiet ingot
install -d -m 0755 "$home" "$pool" /usr/share/ingot
install -d -m 0750 -o root -g ingot /etc/ingot
install -d -m 0770 -o root -g ingot /var/lib/ingot-import
# files in it are the group's to read
install -d -m 2750 -o root -g ingot /var/lib/ingot-export

echo "== program"
# The sources may be the installed ones.
[ "$source" = "$home" ] || rsync -a --delete --exclude .git --exclude /.cache --exclude /test --exclude /node "$source/" "$home/"
chown -R root:root "$home"
ln -sfn "$(sh "$home/.config/bootstrap")" "$home/node"
for command in ingot=src/cli/main.ts ingotd=src/main.ts; do
  printf '#!/bin/sh\nexec %s/node %s/%s "$@"\n' "$home" "$home" "${command#*=}" > "/usr/local/bin/${command%%=*}"
  chmod 0755 "/usr/local/bin/${command%%=*}"
done
"$home/node" "$home/boot-assets/gather.ts" /usr/share/ingot/boot-assets

echo "== configuration"
[ -e /etc/ingot/ingot.yaml ] || install -m 0640 -o root -g ingot "$home/systemd/ingot.yaml.example" /etc/ingot/ingot.yaml
"$home/node" "$home/src/main.ts" --check-config /etc/ingot/ingot.yaml

echo "== pool"
if [ "${1:-}" = ceph ]; then
  install -d -m 0700 /var/lib/ingot-spool
  install -D -m 0644 "$home/systemd/ingot-storaged-ceph.conf" /etc/systemd/system/ingot-storaged.service.d/ceph.conf
elif ! mountpoint -q "$pool"; then
  [ $# -ge 1 ] || [ -e "$pool_file" ] || fail "nothing is mounted on $pool: mount an XFS or btrfs there, or name a size for a pool file"
  "$home/node" "$home/src/storaged/make-pool.ts" --directory "$pool" --file "$pool_file" --size "${1:-1G}"
  # fstrim would give blocks of the pool file back to the disk below, which may not have them when the pool needs them
  grep -qs "^$pool_file " /etc/fstab || echo "$pool_file $pool xfs loop,nofail,X-fstrim.notrim 0 0" >> /etc/fstab
fi

echo "== units"
install -m 0644 "$home"/systemd/*.service "$home"/systemd/*.socket /etc/systemd/system/
install -m 0644 "$home/systemd/ingot.tmpfiles.conf" /usr/lib/tmpfiles.d/ingot.conf
systemd-tmpfiles --create /usr/lib/tmpfiles.d/ingot.conf
systemctl daemon-reload
systemctl enable --quiet --now ingot-storaged.socket
# ingotd and storaged come back with the new program; tgtd, on which running nodes hang, stays.
systemctl try-restart ingot-storaged.service ingot.service

cat <<'END'

Ingot is installed. Next:
  1. Edit /etc/ingot/ingot.yaml: interface, address, subnet and pool of the provisioning network.
  2. Check it:  ingotd --check-config /etc/ingot/ingot.yaml
  3. For each network, with its interface for eth1 and its tgtd.control for 1:
       sh /usr/lib/ingot/systemd/add-network.sh eth1 1
  4. systemctl enable --now ingot.service
  5. Put people who may run the CLI into the group ingot.
END
