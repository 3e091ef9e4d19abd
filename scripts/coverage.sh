#!/usr/bin/env bash
# Print the branch coverage of cluster/ and http/, file by file: which branches the tests take.
#
#   scripts/coverage.sh [unit|simulation|system]...
#
# Without a name it runs all three. Nodes that the tests start as processes are measured too, but for those that a test
# kills by SIGKILL: they write no figures. A failing test does not stop the report, but the exit status is its own.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

folders=()
for suite in "${@:-unit simulation system}"; do
  for name in $suite; do
    case "$name" in
      unit | system) folders+=("tests/$name") ;;
      simulation) folders+=(tests/simulation tests/stock) ;;
      *) sed -n '4s/^# *//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
    esac
  done
done

set_up dev
cd "$ROOT"
mkdir -p .cache
rm -f .cache/coverage .cache/coverage.*
status=0
# Tracing makes a test several times slower: the limit is there for a test that hangs.
export QUORATE_SEEDS="${QUORATE_SEEDS:-100}" # histories of the simulation; a thousand would take half an hour
.venv/bin/coverage run -m pytest -q "${folders[@]}" --timeout 900 || status=$?
.venv/bin/coverage combine --quiet
.venv/bin/coverage report
for room in cluster http; do
  printf '%s/: %s %%\n' "$room" "$(.venv/bin/coverage report --include "$room/*" --format total)"
done
exit "$status"
