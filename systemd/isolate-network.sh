#!/bin/sh
# Makes the appliance's side of an isolated provisioning network, of which nothing else here may be reached: a network
# namespace for its tgtd, with the portal's address on a macvlan, and rules that let no packet cross from it to another one.
# Run it as root; once more changes nothing. ingot-isolated-network@.service does at each boot.
# usage: isolate-network.sh INTERFACE ADDRESS/PREFIX [NAMESPACE [CEPH_INTERFACE ADDRESS/PREFIX]]
#        the first address is the portal's, and not the appliance's own there; NAMESPACE is ingot-INTERFACE by default;
#        the second is the way of that tgtd to Ceph, and not the appliance's own there either
set -eu
[ $# -ge 2 ] && [ $# -ne 4 ] || { sed -n '5,7s/^# //p' "$0" >&2; exit 2; }
interface=$1 portal=$2 namespace=${3:-ingot-$1} ceph_interface=${4:-} ceph=${5:-}

[ -e "/run/netns/$namespace" ] || ip netns add "$namespace"
inside() { ip -n "$namespace" "$@"; }
# NAME INTERFACE ADDRESS/PREFIX: a macvlan that is born in there: the machine itself never has it
place() {
  # an interface may come up late
  patience=30
  until ip link show "$2" >/dev/null 2>&1; do
    [ $patience -gt 0 ] || { echo "isolate-network.sh: there is no interface $2" >&2; exit 1; }
    patience=$((patience - 1))
    sleep 1
  done
  inside link show "$1" >/dev/null 2>&1 ||
    ip link add "$1" link "$2" netns "$namespace" type macvlan mode bridge
  inside address replace "$3" brd + dev "$1"
  inside link set "$1" up
}
# Linux takes packets for any of its addresses on any of its interfaces: on these, only those for the interface's own. Nor
# is it a router between them, whatever else it routes.
rules() {
  cat <<END
table inet ingot {
  set isolated { type ifname; }
  chain input { type filter hook input priority filter - 10; }
  chain forward { type filter hook forward priority filter - 10; }
}
flush chain inet ingot input
flush chain inet ingot forward
add rule inet ingot input iifname @isolated fib daddr . iif type != { local, broadcast, multicast } drop
add rule inet ingot forward iifname @isolated oifname @isolated drop
END
  for one in "$@"; do echo "add element inet ingot isolated { \"$one\" }"; done
}

# the rules come first, so that nothing is open for a moment
rules "$interface" | nft -f -
rules portal ceph | nsenter --net="/run/netns/$namespace" nft -f -
inside link set lo up
place portal "$interface" "$portal"
[ -z "$ceph" ] || place ceph "$ceph_interface" "$ceph"
