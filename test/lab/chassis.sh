#!/bin/sh
# The chassis behind a BMC, called by ipmi_sim: chassis.sh NODE_DIRECTORY PID_FILE MC get|set|check PARAMETER [VALUE]...
# Owns one QEMU. Each verb may come twice. NODE_DIRECTORY holds
#   qemu         argument vector of the machine, one word per line, @network@ where the NIC's boot index goes
#   boot-device  "pxe" or "default" (the disk), for all boots until it is set again
#   monitor.sock QEMU's monitor while it runs
node=$1
pid_file=$2
verb=$4
shift 4
exec 2>>"$node/chassis.log"

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# prints the pid of our QEMU while it runs; a pid given to another program since does not count
running() {
  { read -r pid since <"$pid_file"; } 2>/dev/null && [ -n "$since" ] && [ "$(start_time "$pid")" = "$since" ] || return 1
  ! grep -q '^State:.Z' "/proc/$pid/status" && echo "$pid"
}

# the local disk's boot index is 2
network_index() { [ "$(cat "$node/boot-device" 2>/dev/null)" = pxe ] && echo 1 || echo 3; }

monitor() { echo "$1" | socat -t 0.2 - "UNIX:$node/monitor.sock" >/dev/null; }

power_on() {
  running >/dev/null && return
  (
    index=$(network_index)
    set --
    while IFS= read -r word; do set -- "$@" "$(echo "$word" | sed "s/@network@/$index/")"; done <"$node/qemu"
    exec setsid "$@" </dev/null >>"$node/qemu.log" 2>&1
  ) &
  echo "$! $(start_time $!)" >"$pid_file"
}

power_off() {
  pid=$(running) && {
    kill "$pid"
    patience=50
    while running >/dev/null && [ $patience -gt 0 ]; do
      sleep 0.1
      patience=$((patience - 1))
    done
    running >/dev/null && kill -9 "$pid"
  }
  rm -f "$pid_file"
}

while [ $# -gt 0 ]; do
  parameter=$1
  shift
  case $verb:$parameter in
    get:power) running >/dev/null && echo power:1 || echo power:0 ;;
    get:boot) echo "boot:$(cat "$node/boot-device" 2>/dev/null || echo default)" ;;
    get:*) echo "$parameter:0" ;;
    check:power | check:reset | check:boot | check:shutdown) ;;
    check:*) exit 1 ;;
    set:*)
      value=$1
      shift
      echo "$(date +%T) set $parameter $value" >&2
      case $parameter:$value in
        power:1) power_on ;;
        power:0) power_off ;;
        reset:*) running >/dev/null && power_off && power_on ;;
        shutdown:*) running >/dev/null && monitor system_powerdown ;;
        boot:*)
          echo "$value" >"$node/boot-device"
          # a running machine obeys at its next reboot
          running >/dev/null && monitor "qom-set /machine/peripheral/boot-nic bootindex $(network_index)"
          ;;
      esac
      ;;
  esac
done
exit 0
