#!/bin/sh
# Has systemd open the sockets of one provisioning network, bound to its interface, and start its tgtd.
# Run it as root, once for every entry of `networks` in ingot.yaml, again after a change of them.
# usage: systemd/add-network.sh [--portal ADDRESS/PREFIX [--ceph INTERFACE ADDRESS/PREFIX]] INTERFACE CONTROL
#        [HTTP_PORT [DIRECTORY]]
#        INTERFACE, CONTROL and HTTP_PORT as in `interface`, `tgtd.control` and `httpPort`;
#        with --portal, the network is isolated: its tgtd gets a network namespace, with that address of `portals`
#        (and, for a pool in Ceph, an address of its own on the interface that leads there);
#        with DIRECTORY the settings are only written there, and nothing is started
set -eu
usage() { sed -n '4,9s/^# //p' "$0" >&2; exit 2; }
portal='' ceph_interface='' ceph=''
case ${1:-} in --portal) [ $# -ge 2 ] || usage; portal=$2; shift 2 ;; esac
case ${1:-} in --ceph) [ $# -ge 3 ] && [ -n "$portal" ] || usage; ceph_interface=$2 ceph=$3; shift 3 ;; esac
[ $# -ge 2 ] || usage
interface=$1 control=$2 port=${3:-80} units=${4:-/etc/systemd/system}
for name in "$interface" "$ceph_interface"; do
  case $name in *[!A-Za-z0-9._-]*) echo "add-network.sh: \"$name\" is no interface name" >&2; exit 2 ;; esac
done
[ -n "$interface" ] || usage
case $control$port in *[!0-9]*) echo "add-network.sh: CONTROL and HTTP_PORT are numbers" >&2; exit 2 ;; esac
for address in $portal $ceph; do
  case $address in
    *[!0-9./]*|*/*/*) ;;
    *.*.*.*/*) continue ;;
  esac
  echo "add-network.sh: \"$address\" is no ADDRESS/PREFIX" >&2
  exit 2
done

for name in dhcp dhcp-probe pxe tftp http; do
  settings=$units/ingot-$name@$interface.socket.d
  mkdir -p "$settings"
  {
    echo "[Socket]"
    # systemd 252 expands no specifiers here, so the template can't say it.
    echo "BindToDevice=$interface"
    [ "$name" != http ] || printf 'ListenStream=\nListenStream=0.0.0.0:%s\n' "$port"
  } > "$settings/interface.conf"
done
# settings of an isolated network, or that it is none
settle() { mkdir -p "$units/$1.d"; cat > "$units/$1.d/$2.conf"; }
isolated="ingot-isolated-network@$interface.service"
if [ -n "$portal" ]; then
  printf '[Service]\nEnvironment=PORTAL=%s\nEnvironment="CEPH=%s"\n' "$portal" "${ceph:+$ceph_interface $ceph}" | settle "$isolated" portal
  settle "ingot-tgtd@$control.service" namespace <<END
[Unit]
Wants=$isolated
After=$isolated
[Service]
NetworkNamespacePath=/run/netns/ingot-$interface
END
  printf '[Socket]\nListenStream=\nListenStream=0.0.0.0:%s\n' "$port" |
    settle "ingot-http-portal@$interface.socket" port
else
  rm -f "$units/$isolated.d/portal.conf" "$units/ingot-tgtd@$control.service.d/namespace.conf"
fi
advertisements=$units/router-advertisements
[ $# -ge 4 ] || advertisements=/etc/ingot/router-advertisements
mkdir -p "$advertisements"
sed "s/^interface INTERFACE/interface $interface/" "${0%/*}/router-advertisements.conf" > "$advertisements/$interface.conf"
chmod 0755 "$advertisements"
chmod 0644 "$advertisements/$interface.conf"
[ $# -lt 4 ] || exit 0

systemctl daemon-reload
apart="$isolated ingot-peers@$interface.socket ingot-http-portal@$interface.socket"
# shellcheck disable=SC2086
if [ -n "$portal" ]; then systemctl enable --now $apart; else systemctl disable --quiet --now $apart 2>/dev/null || :; fi
systemctl enable --now "ingot-tgtd@$control.service" "ingot-router-advertisements@$interface.service" \
  "ingot-dhcp@$interface.socket" "ingot-pxe@$interface.socket" "ingot-tftp@$interface.socket" \
  "ingot-http@$interface.socket"
systemctl enable --now "ingot-dhcp-probe@$interface.socket" ||
  echo "add-network.sh: port 68 of $interface is taken; other DHCP servers there are noticed by their clients alone" >&2
