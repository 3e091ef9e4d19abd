#!/usr/bin/env bash
# One command that sets up and runs everything a change must pass: the checks (ruff, mypy, shellcheck, codespell), then
# the tests, quick ones first.
#
#   scripts/test.sh [check|unit|simulation|system|services|browser|all]... [-- pytest arguments]
#
# Without a name, or with `all`, it runs everything. With names it runs those. `services` needs real servers, which
# scripts/services.sh gets and starts. If a server cannot be had, its tests are skipped, and the output says so; with
# QUORATE_REQUIRE_SERVICES=1 that is a failure. `browser` needs a Chromium, which the set-up installs on Debian as root.
# Without it each test is skipped by name.
# `services` and `system` mostly wait, so `services` runs beside all other suites, and `simulation`, which only computes,
# beside `system`. The output of a suite that ran beside others comes after theirs.
# The next suite runs even if one fails. The output has all failures, and the exit status is then not 0. The last line
# counts the tests of all suites: `N passed, N failed, N skipped`.
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
failed=()
reports="$(mktemp -d)" # a report of each suite, for the count at the end
beside=()         # the suites that run beside the others, and the process group of each
groups=()
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

pytest_suite() { # pytest_suite SUITE ARGUMENTS...
  case "$1" in
    unit) unit_suite "${@:2}" ;;
    simulation) run_pytest simulation 'tests/simulation tests/stock' "${@:2}" ;;
    *) run_pytest "$1" "tests/$1" "${@:2}" ;;
  esac
}

unit_suite() { # in two halves side by side: these tests wait for clocks half of their time
  local status=0 other rest=()
  local outside='tests/unit/cli tests/unit/client tests/unit/http'
  for folder in $outside; do rest+=("--ignore=$folder"); done
  run_pytest unit-outside "tests/house $outside" "$@" >"$reports/outside.out" 2>&1 &
  other=$!
  run_pytest unit tests/unit "${rest[@]}" "$@" || status=1
  wait "$other" || status=1
  cat "$reports/outside.out"
  return "$status"
}

with_browser() {
  set_up_chromium
  pytest_suite browser "$@"
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
  pytest_suite services "$@" || status=1
  exit "$status"
)

checks() {
  step ruff-check "$bin/ruff" check
  step ruff-format "$bin/ruff" format --check
  step mypy "$bin/mypy"
  step shellcheck "$bin/shellcheck" scripts/*.sh .ci/run
  step spelling "$bin/codespell"
}

start_beside() { # start_beside NAME COMMAND...: in the background, with its output in a file
  set -m # a process group of its own, so that all of it can be stopped
  "${@:2}" >"$reports/$1.out" 2>&1 &
  beside+=("$1")
  groups+=($!)
  set +m
}

finish_beside() { # wait for the suites that run beside the others, and show what they printed
  local at status
  for at in ${beside[@]+"${!beside[@]}"}; do
    status=0
    wait "${groups[at]}" || status=$?
    printf '\n== %s\n' "${beside[at]}"
    cat "$reports/${beside[at]}.out"
    [ "$status" -eq 0 ] || failed+=("${beside[at]}")
  done
  groups=()
}

case " ${suites[*]} " in
  ' services ') step services with_services "$@" ;;
  *' services '*) start_beside services with_services "$@" ;;
esac
for suite in "${suites[@]}"; do
  case "$suite" in
    check) checks ;;
    services) ;;
    simulation)
      case " ${suites[*]} " in
        *' system '*) start_beside simulation pytest_suite simulation "$@" ;;
        *) step simulation pytest_suite simulation "$@" ;;
      esac
      ;;
    browser) step browser with_browser "$@" ;;
    *) step "$suite" pytest_suite "$suite" "$@" ;;
  esac
done
finish_beside

printf '\n'
[ ${#failed[@]} -eq 0 ] || printf 'FAILED: %s\n' "${failed[*]}" >&2
"$PYTHON" -m tests.support.totals "$reports" ${failed[@]+"${failed[@]}"}
[ ${#failed[@]} -eq 0 ]
