#!/usr/bin/env bash
# Servers for development and tests: NSQ, Consul and MongoDB on loopback. `scripts/services.sh --help` describes them.
# It needs Python 3.11 or later and nothing else: no .venv either.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
for python in "${QUORATE_PYTHON:-}" "$here/../.venv/bin/python" python3 python3.1{5,4,3,2,1}; do
  [ -n "$python" ] || continue
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    exec "$python" "$here/services" "$@"
  fi
done
echo "services: Python 3.11 or later is needed; none is on PATH" >&2
exit 1
