#!/bin/sh
# Has systemd open the sockets of one provisioning network, bound to its interface, and start its tgtd.
# Run it as root, once for every entry of `networks` in ingot.yaml, again after a change of them.
# usage: systemd/add-network.sh INTERFACE CONTROL [HTTP_PORT [DIRECTORY]]
#        INTERFACE, CONTROL and HTTP_PORT as in `interface`, `tgtd.control` and `httpPort`;
#        with DIRECTORY the settings are only written there, and nothing is started
set -eu
[ $# -ge 2 ] || { sed -n '4,6s/^# //p' "$0" >&2; exit 2; }
interface=$1 control=$2 port=${3:-80} units=${4:-/etc/systemd/system}
case $interface in *[!A-Za-z0-9._-]*|'') echo "add-network.sh: \"$interface\" is no interface name" >&2; exit 2 ;; esac
case $control$port in *[!0-9]*) echo "add-network.sh: CONTROL and HTTP_PORT are numbers" >&2; exit 2 ;; esac

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
advertisements=$units/router-advertisements
[ $# -ge 4 ] || advertisements=/etc/ingot/router-advertisements
mkdir -p "$advertisements"
sed "s/^interface INTERFACE/interface $interface/" "${0%/*}/router-advertisements.conf" > "$advertisements/$interface.conf"
chmod 0755 "$advertisements"
chmod 0644 "$advertisements/$interface.conf"
[ $# -lt 4 ] || exit 0

systemctl daemon-reload
systemctl enable --now "ingot-tgtd@$control.service" "ingot-router-advertisements@$interface.service" \
  "ingot-dhcp@$interface.socket" "ingot-pxe@$interface.socket" "ingot-tftp@$interface.socket" \
  "ingot-http@$interface.socket"
systemctl enable --now "ingot-dhcp-probe@$interface.socket" ||
  echo "add-network.sh: port 68 of $interface is taken; other DHCP servers there are noticed by their clients alone" >&2
