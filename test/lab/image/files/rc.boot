#!/bin/sh
# Everything before the marker: file systems, the iSCSI daemon that keeps the root alive, the power button.
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /run/lock/iscsi
ip link set lo up
echo $(($(cat /var/lib/boots 2>/dev/null || echo 0) + 1)) >/var/lib/boots
sync

if [ -d /sys/firmware/ibft/initiator ]; then
  echo "InitiatorName=$(cat /sys/firmware/ibft/initiator/initiator-name)" >/run/initiatorname.iscsi
  # Adopts the session that the initramfs opened; from now on a lost connection is taken up again. It logs in anew for
  # that, and must not need the disk meanwhile.
  for file in $(cat /etc/iscsi/iscsid.files) /etc/iscsi/* /etc/passwd /etc/group /etc/hosts /etc/localtime /etc/*.conf \
    /etc/ld.so.cache /etc/ssl/openssl.cnf /usr/lib/ssl/openssl.cnf; do
    cat "$file" >/dev/null 2>&1
  done
  iscsid
  for session in /sys/class/iscsi_session/session*; do echo 900 >"$session/recovery_tmo"; done
fi
grow-root >/run/grow-root.log 2>&1 || cat /run/grow-root.log >/dev/console
acpid -l /run/acpid.log -p /run/acpid.pid
