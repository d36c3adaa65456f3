#!/bin/sh
# Makes the appliance's side of an isolated provisioning network, of which nothing else here may be reached: a network
# namespace for its tgtd, with the portal's address on a macvlan, and rules that let no packet cross from it to another one.
# Run it as root; once more changes nothing. ingot-isolated-network@.service does at each boot.
# usage: isolate-network.sh INTERFACE ADDRESS/PREFIX [NAMESPACE]
#        ADDRESS is the portal's, and not the appliance's own there; NAMESPACE is ingot-INTERFACE by default
set -eu
[ $# -ge 2 ] || { sed -n '5,6s/^# //p' "$0" >&2; exit 2; }
interface=$1 portal=$2 namespace=${3:-ingot-$1}

# an interface may come up late
patience=30
until ip link show "$interface" >/dev/null 2>&1; do
  [ $patience -gt 0 ] || { echo "isolate-network.sh: there is no interface $interface" >&2; exit 1; }
  patience=$((patience - 1))
  sleep 1
done
[ -e "/run/netns/$namespace" ] || ip netns add "$namespace"
inside() { ip -n "$namespace" "$@"; }
inside link set lo up
# born in there: the machine itself never has it
inside link show portal >/dev/null 2>&1 ||
  ip link add portal link "$interface" netns "$namespace" type macvlan mode bridge
inside address replace "$portal" brd + dev portal
inside link set portal up

# Linux takes packets for any of its addresses on any of its interfaces: here only those for the interface's own. Nor
# is it a router between isolated networks, whatever else it routes.
nft -f - <<END
table inet ingot {
  set isolated { type ifname; }
  chain input { type filter hook input priority filter - 10; }
  chain forward { type filter hook forward priority filter - 10; }
}
flush chain inet ingot input
flush chain inet ingot forward
add rule inet ingot input iifname @isolated fib daddr . iif type != { local, broadcast, multicast } drop
add rule inet ingot forward iifname @isolated oifname @isolated drop
add element inet ingot isolated { "$interface" }
END
