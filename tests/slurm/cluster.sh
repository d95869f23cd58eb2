#!/usr/bin/env bash
# A real SLURM on this machine alone: no systemd, no database, one node with four pretend A100s.
#   tests/slurm/cluster.sh start|stop|status
#   tests/slurm/cluster.sh controller-down|controller-up|node-down|node-up   one daemon stops or comes back
# Exit codes: 0 done, 1 it broke (log tails are printed), 2 a requirement is missing or refused, 3 status: not running.
set -euo pipefail

# slurmctld, slurmd and munged live in /usr/sbin, which root's PATH lacks under plain `su`.
export PATH="$PATH:/usr/sbin:/sbin"

MARKER="# Written by GeneralThinker's tests/slurm/cluster.sh, which deletes it at stop."
CONF_DIR=/etc/slurm
VAR=/var/lib/generalthinker-slurm
RUN=/run/generalthinker-slurm
LOG=/var/log/generalthinker-slurm
HOST=$(hostname)
HOST=${HOST%%.*}
GPUS=4

say() { printf 'cluster.sh: %s\n' "$*"; }
refuse() {
  say "$*" >&2
  exit 2
}

# Clients wait for minutes while slurmctld is down, so none may run without a bound.
client() { timeout 10 "$@"; }

show_logs() {
  local log
  for log in "$LOG/slurmctld.log" "$LOG/slurmd.log" /var/log/munge/munged.log; do
    if [ -e "$log" ]; then
      printf -- '--- last lines of %s\n' "$log" >&2
      tail -n 15 "$log" >&2
    fi
  done
}

fail() {
  say "$*" >&2
  show_logs
  exit 1
}

require() {
  [ "$(id -u)" = 0 ] || refuse "needs root: munge, /etc/slurm and the device files belong to root."
  local missing=() command
  for command in slurmctld slurmd sbatch munged; do
    command -v "$command" >/dev/null || missing+=("$command")
  done
  [ ${#missing[@]} = 0 ] || refuse "missing: ${missing[*]}. Run:" \
    "apt-get update && apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge"
}

require_own_conf() {
  local file
  for file in "$CONF_DIR/slurm.conf" "$CONF_DIR/gres.conf"; do
    if [ -e "$file" ] && ! grep -qxF "$MARKER" "$file"; then
      refuse "$file was not written by this script, so this machine has its own SLURM." \
        "Use that one, or move the file away."
    fi
  done
}

# A pid file outlives a killed session, and its number may by now be another program's.
running() { # running NAME: prints the pid if that daemon is alive
  local pid
  pid=$(cat "$RUN/$1.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] && printf '%s\n' "$pid"
}

terminate() { # terminate NAME: by the pid in its own pid file only
  local pid tries
  if pid=$(running "$1"); then
    kill "$pid"
    for ((tries = 0; tries < 100; tries++)); do
      running "$1" >/dev/null || break
      sleep 0.1
    done
    if running "$1" >/dev/null; then
      say "$1 ($pid) ignored SIGTERM for 10 s; sending SIGKILL"
      kill -9 "$pid"
    fi
  fi
  rm -f "$RUN/$1.pid"
}

slurm_conf() {
  cat <<CONF
$MARKER
ClusterName=toy
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$VAR/slurmctld
SlurmdSpoolDir=$VAR/slurmd
SlurmctldPidFile=$RUN/slurmctld.pid
SlurmdPidFile=$RUN/slurmd.pid
SlurmctldLogFile=$LOG/slurmctld.log
SlurmdLogFile=$LOG/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
# An unresponsive or restarted node comes back by itself.
ReturnToService=2
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
# The node claims the size of a GPU server, so the profile of a real cluster fits it.
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
# Without this squeue's %k, where Snakemake writes the rule and its wildcards, stays empty.
AccountingStoreFlags=job_comment
# Finished jobs stay visible to squeue this long; Snakemake wants three times its first status interval.
MinJobAge=300
KillWait=5
OverTimeLimit=0
GresTypes=gpu
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=32 Boards=1 SocketsPerBoard=1 CoresPerSocket=32 ThreadsPerCore=1 \
RealMemory=400000 Gres=gpu:a100:$GPUS State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=gpu Nodes=$HOST Default=YES MaxTime=INFINITE State=UP PriorityTier=1
# A job here preempts jobs of the other partition, which are requeued.
PartitionName=urgent Nodes=$HOST MaxTime=INFINITE State=UP PriorityTier=10
CONF
}

gres_conf() {
  cat <<CONF
$MARKER
AutoDetect=off
NodeName=$HOST Name=gpu Type=a100 File=$VAR/gpu/nvidia[0-$((GPUS - 1))]
CONF
}

munge_works() { timeout 5 munge -n </dev/null 2>/dev/null | timeout 5 unmunge >/dev/null 2>&1; }

start_munge() {
  # A munged that already answers is the system's own: it is used, and `stop` leaves it alone.
  munge_works && return
  install -d -o munge -g munge -m 0755 /run/munge
  install -d -o munge -g munge -m 0700 /etc/munge /var/log/munge /var/lib/munge
  if [ ! -s /etc/munge/munge.key ]; then
    say "creating /etc/munge/munge.key"
    (umask 077 && head -c 128 /dev/urandom >/etc/munge/munge.key)
    chown munge:munge /etc/munge/munge.key
  fi
  runuser -u munge -- "$(command -v munged)" 9>&- || fail "munged did not start"
  local tries
  for ((tries = 0; tries < 50; tries++)); do
    if munge_works; then
      cp /run/munge/munged.pid "$RUN/munged.pid"
      return
    fi
    sleep 0.1
  done
  fail "munged started but does not answer"
}

make_gpus() {
  local i
  for ((i = 0; i < GPUS; i++)); do
    # Only device files give each job its own CUDA_VISIBLE_DEVICES; these are /dev/null under other names.
    [ -c "$VAR/gpu/nvidia$i" ] || mknod "$VAR/gpu/nvidia$i" c 1 3 ||
      fail "cannot create device files under $VAR/gpu (a container without CAP_MKNOD?)"
  done
}

node_state() { client sinfo --noheader --nodes "$HOST" --format %T 2>/dev/null | head -n 1; }

wait_for_node() {
  local tries state=unknown
  for ((tries = 0; tries < 60; tries++)); do
    state=$(node_state) || state="no answer"
    case $state in
      idle | mixed | allocated) return ;;
      drain* | down* | fail*) client scontrol update nodename="$HOST" state=resume || true ;;
    esac
    sleep 0.5
  done
  fail "the node did not become idle within 30 s; it is: ${state:-unknown}"
}

up() {
  running slurmctld >/dev/null && running slurmd >/dev/null && munge_works &&
    case $(node_state) in idle | mixed | allocated | completing) true ;; *) false ;; esac
}

start() {
  require
  require_own_conf
  # A different host name or an older version of this script means a different configuration.
  if [ "$(cat "$CONF_DIR/slurm.conf" 2>/dev/null)" = "$(slurm_conf)" ] && up; then
    say "already running on $HOST: $(running slurmctld) slurmctld, $(running slurmd) slurmd"
    return
  fi
  terminate slurmd
  terminate slurmctld
  mkdir -p "$CONF_DIR" "$VAR/slurmctld" "$VAR/slurmd" "$VAR/gpu" "$RUN" "$LOG"
  slurm_conf >"$CONF_DIR/slurm.conf"
  gres_conf >"$CONF_DIR/gres.conf"
  make_gpus
  start_munge
  # -c forgets the jobs of a killed session, which would otherwise be requeued and run again.
  slurmctld -c 9>&- || fail "slurmctld did not start"
  slurmd 9>&- || fail "slurmd did not start"
  wait_for_node
  say "started on $HOST with $GPUS pretend A100s; logs in $LOG"
}

stop() {
  [ "$(id -u)" = 0 ] || refuse "needs root."
  require_own_conf
  local tries
  if running slurmctld >/dev/null; then
    # slurmd's end does not end its jobs: cancel them while someone still listens.
    client scancel --user=root --full 2>/dev/null || true
    for ((tries = 0; tries < 40; tries++)); do
      [ -n "$(client squeue --noheader 2>/dev/null || true)" ] || break
      sleep 0.5
    done
  fi
  terminate slurmd
  terminate slurmctld
  terminate munged
  # Without its slurmctld a left slurm.conf would make every SLURM command hang.
  rm -f "$CONF_DIR/slurm.conf" "$CONF_DIR/gres.conf"
  rm -rf "$RUN"
  say "stopped"
}

status() {
  if up; then
    say "running on $HOST"
    client sinfo --format "%P %T %G %C"
    client squeue --format "%i %T %b %k"
  else
    say "not running"
    exit 3
  fi
}

controller_down() { terminate slurmctld; }
controller_up() { slurmctld 9>&- || fail "slurmctld did not start"; }
node_down() { terminate slurmd; }
node_up() {
  slurmd 9>&- || fail "slurmd did not start"
  wait_for_node
}

main() {
  case ${1:-} in
    controller-down | controller-up | node-down | node-up) "${1/-/_}" ;;
    start | stop)
      # Two sessions may start at once; daemons close descriptor 9 lest they keep the lock.
      [ "$(id -u)" = 0 ] && exec 9>/run/generalthinker-slurm.lock && flock --wait 120 9
      "$1"
      ;;
    status) status ;;
    *)
      say "usage: tests/slurm/cluster.sh start|stop|status|controller-down|controller-up|node-down|node-up" >&2
      exit 2
      ;;
  esac
}

main "$@"
