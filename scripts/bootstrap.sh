#!/usr/bin/env bash
# Set everything up and run a cluster on this machine, in the foreground, with a live view; Ctrl-C stops it.
#
#   scripts/bootstrap.sh [--nodes 3] [--port 8001] [--data DIR] [--fresh] [--no-feed] [--story] [--services] [--restart]
#
# It needs Python 3.11 to 3.15 and, the first time, PyPI. The data folder is ./data by default. A cluster that is in it
# goes on; --fresh begins a new one. --services also gets and starts MongoDB, NSQ and Consul, each as far as it can be had
# here (scripts/services.sh), and stops at the end those that did not run before. --story tells the whole story: made-up
# posts, read by `quorate stream`, by way of two nsqds (or their double) to three nodes and a database: MongoDB if it is
# here without being fetched, else SQLite. All other arguments are those of `quorate dev`.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

wanted='' # servers
arguments=()
for argument in "$@"; do
  case "$argument" in
    --services) wanted='nsq consul mongo' ;;
    --story)
      wanted="${wanted:-story}"
      arguments+=("$argument")
      ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;;
    *) arguments+=("$argument") ;;
  esac
done

set_up run
[ -n "$wanted" ] || exec "$ROOT/.venv/bin/quorate" dev ${arguments[@]+"${arguments[@]}"}

if [ "$wanted" = story ]; then
  wanted='nsq mongo'
  export QUORATE_SERVICES_FETCH=0       # the story begins at once
  export QUORATE_SERVICES_NSQ_DURABLE=0 # each vote is on two nsqds, which need not sync it
fi
read -ra servers <<<"$wanted"
started=() # those that did not run before
while IFS= read -r line; do
  case "$line" in *': not started') started+=("${line%%:*}") ;; esac
done < <("$ROOT/scripts/services.sh" status "${servers[@]}" || true)
trap '[ ${#started[@]} -eq 0 ] || "$ROOT/scripts/services.sh" down "${started[@]}"' EXIT
"$ROOT/scripts/services.sh" up "${servers[@]}" ||
  printf 'bootstrap.sh: the cluster runs without what could not be had (see above)\n' >&2
eval "$("$ROOT/scripts/services.sh" env --answering "${servers[@]}")"
unset QUORATE_SERVICES_FETCH QUORATE_SERVICES_NSQ_DURABLE # they are no settings of the cluster
case "${QUORATE_TEST_NSQD:-}" in *,*) export QUORATE_STREAM_BOTH=true ;; esac
[ -z "${QUORATE_TEST_NSQADMIN:-}" ] || arguments+=(--note "nsqadmin: $QUORATE_TEST_NSQADMIN")
# Of a setting and its old name, flush.sink, only one may be given.
[ -z "${QUORATE_MONGO_URL:-}" ] || [ -n "${QUORATE_FLUSH_SINK:-}" ] || export QUORATE_FLUSH_SINKS="${QUORATE_FLUSH_SINKS:-mongo}"
# The cluster runs in the background, so that this script can pass on a signal that is sent to the script alone. The
# cluster reads no input.
"$ROOT/.venv/bin/quorate" dev ${arguments[@]+"${arguments[@]}"} &
cluster=$!
# A shell without job control starts what ends with `&` deaf to Ctrl-C, so this script passes that on as well.
trap 'kill -TERM "$cluster" 2>/dev/null' INT TERM HUP
wait "$cluster" && status=0 || status=$?
# A signal ends `wait` before the cluster ends. The last `wait` gives the cluster's exit status.
while kill -0 "$cluster" 2>/dev/null; do wait "$cluster" && status=0 || status=$?; done
exit "$status"
