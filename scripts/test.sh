#!/usr/bin/env bash
# One command that sets up and runs everything a change must pass: the checks (ruff, mypy, shellcheck, codespell), then
# the tests, quick ones first.
#
#   scripts/test.sh [check|unit|simulation|system|services|browser|all]... [-- pytest arguments]
#
# Without a name, or with `all`, it runs everything. With names it runs those. `services` needs real servers, which
# scripts/services.sh gets and starts. If a server cannot be had, its tests are skipped, and the output says so; with
# QUORATE_REQUIRE_SERVICES=1 that is a failure, as it is if there is no promtool for `unit`, which the set-up fetches on
# Debian and Ubuntu. `browser` needs a Chromium, which the set-up installs on Debian as root. Without it each test is
# skipped by name.
# Most tests wait: for clocks, for nodes, for servers. So the suites run side by side, in five lanes (`lanes` below), the
# two long ones in parts. One lane is shown while it runs; the output of the others comes after it.
# The next suite runs even if one fails. The output has all failures, and the exit status is then not 0. The output
# ends with the tests that failed and their errors; its last line counts the tests of all suites:
# `N passed, N failed, N skipped`.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

usage() {
  sed -n '5s/^# *//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

suites=()
everything=0
while [ $# -gt 0 ]; do
  case "$1" in
    check | unit | simulation | system | services | browser) suites+=("$1") ;;
    all) everything=1 ;;
    --) shift && break ;;
    *) usage ;;
  esac
  shift
done
[ ${#suites[@]} -gt 0 ] || everything=1
[ "$everything" -eq 0 ] || suites=(check unit simulation system services browser)

set_up dev
cd "$ROOT"
bin="$ROOT/.venv/bin"
# Tests start hundreds of processes: none compiles modules that another has compiled, whatever the environment asks for.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="$ROOT/.cache/bytecode"
failed=()
reports="$(mktemp -d)" # a report of each suite, for the count at the end
lanes=()
groups=() # the process group of each lane that runs beside the first
trap 'for group in ${groups[@]+"${groups[@]}"}; do kill -TERM -- "-$group" 2>/dev/null || true; done
  rm -rf "$reports"' EXIT

step() { # step NAME COMMAND...: run the command, and remember the name if it fails
  local name="$1"
  shift
  printf '\n== %s\n' "$name"
  "$@" || failed+=("$name")
}

run_pytest() { # run_pytest REPORT FOLDERS ARGUMENTS...: 5 means that there is no test, fine if arguments chose none
  local status=0
  local folders
  read -ra folders <<<"$2"
  "$bin/pytest" "${folders[@]}" "${@:3}" --junitxml="$reports/$1.xml" || status=$?
  [ "$status" -eq 0 ] || { [ "$status" -eq 5 ] && [ $# -gt 2 ]; }
}

# The parts of the two suites that are split. Each takes about as long as what they leave to the first.
UNIT_2='tests/unit/raft'
UNIT_3='tests/unit/cli tests/unit/client'
UNIT_4='tests/house tests/unit/http tests/unit/ingest tests/unit/state tests/unit/submit'
SYSTEM_2="$(printf 'tests/system/test_%s.py ' \
  audit backups chaos chaos_elsewhere client_examples doctor document_chaos kills members metrics_in_faults \
  mixed_addresses mixed_versions namespaces nemeses openapi power_loss preloaded_clocks public_clients redis_clients \
  redis_examples redis_py sound_disks)"
SYSTEM_3="$(printf 'tests/system/test_%s.py ' \
  story stream stream_disks stream_networks stream_polls stream_stopping stream_through_nsq)"
SYSTEM_4="$(printf 'tests/system/test_%s.py ' document_checkout document_commands document_operators true_metrics)"

pytest_part() { # pytest_part PART ARGUMENTS...: a suite, or one part of it
  local others="$UNIT_2 $UNIT_3 $UNIT_4 $SYSTEM_2 $SYSTEM_3 $SYSTEM_4"
  case "$1" in
    unit-1) run_pytest "$1" "tests/unit ${others//tests/--ignore=tests}" "${@:2}" ;;
    unit-2) run_pytest "$1" "$UNIT_2" "${@:2}" ;;
    unit-3) run_pytest "$1" "$UNIT_3" "${@:2}" ;;
    unit-4) run_pytest "$1" "$UNIT_4" "${@:2}" ;;
    system-1) run_pytest "$1" "tests/system ${others//tests/--ignore=tests}" "${@:2}" ;;
    system-2) run_pytest "$1" "$SYSTEM_2" "${@:2}" ;;
    system-3) run_pytest "$1" "$SYSTEM_3" "${@:2}" ;;
    system-4) run_pytest "$1" "$SYSTEM_4" "${@:2}" ;;
    simulation) run_pytest "$1" 'tests/simulation tests/stock tests/mutants' "${@:2}" ;;
    browser) set_up_chromium && run_pytest "$1" tests/browser "${@:2}" ;;
    services) with_services "${@:2}" ;;
  esac
}

with_services() ( # in a subshell: the other suites do not see the addresses of the servers
  status=0
  export QUORATE_SERVICES_DIR="${QUORATE_SERVICES_DIR:-$ROOT/.cache/test-services}" # not a developer's servers
  trap 'scripts/services.sh down' EXIT
  if ! scripts/services.sh up; then
    printf 'not every server could be had (see above)\n' >&2
    if [ "${QUORATE_REQUIRE_SERVICES:-0}" = 1 ]; then
      printf 'and QUORATE_REQUIRE_SERVICES=1 asks for all of them\n' >&2
      status=1
    fi
  fi
  eval "$(scripts/services.sh env --only tests)" # without settings for nodes: tests make their own
  run_pytest services tests/services "$@" || status=1
  exit "$status"
)

checks() {
  step ruff-check "$bin/ruff" check
  step ruff-format "$bin/ruff" format --check
  step mypy "$bin/mypy"
  step shellcheck "$bin/shellcheck" scripts/*.sh .ci/run
  step spelling "$bin/codespell"
}

# Fill `lanes` with the parts to run: parts of one lane run one after the other, the lanes side by side. The simulation
# comes last in its lane, because it alone keeps all cores busy when the other lanes have ended.
choose_lanes() {
  local lane part chosen
  for lane in 'unit-1 system-1' 'unit-2 system-2' 'unit-3 system-3 simulation' 'unit-4 browser system-4' services; do
    chosen=''
    for part in $lane; do
      case " ${suites[*]} " in *" ${part%-?} "*) chosen="$chosen $part" ;; esac
    done
    [ -z "$chosen" ] || lanes+=("$chosen")
  done
}

run_lane() { # run_lane PARTS ARGUMENTS...: names of the parts that fail go into a file
  local part
  for part in $1; do
    printf '\n== %s\n' "$part"
    pytest_part "$part" "${@:2}" || printf '%s\n' "$part" >>"$reports/failed"
  done
}

run_beside() { # run_beside NUMBER PARTS ARGUMENTS...: a lane in the background, with its output in a file
  set -m # a process group of its own, so that all of it can be stopped
  run_lane "${@:2}" >"$reports/lane-$1.out" 2>&1 &
  groups+=($!)
  set +m
}

case " ${suites[*]} " in *' check '*) checks ;; esac
case " ${suites[*]} " in *' unit '*) set_up_promtool ;; esac
choose_lanes
if [ ${#lanes[@]} -gt 0 ]; then
  for at in "${!lanes[@]}"; do
    [ "$at" -eq 0 ] || run_beside "$at" "${lanes[at]}" "$@"
  done
  run_lane "${lanes[0]}" "$@"
  for at in ${groups[@]+"${!groups[@]}"}; do
    wait "${groups[at]}" || failed+=("${lanes[at + 1]}")
    cat "$reports/lane-$((at + 1)).out"
  done
  groups=()
  while read -r part; do failed+=("$part"); done < <(cat "$reports/failed" 2>/dev/null || true)
fi

printf '\n'
[ ${#failed[@]} -eq 0 ] || printf 'FAILED: %s\n' "${failed[*]}" >&2
"$PYTHON" -m tests.support.totals "$reports" ${failed[@]+"${failed[@]}"}
[ ${#failed[@]} -eq 0 ]
