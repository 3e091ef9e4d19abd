# shellcheck shell=bash
# The set-up that all scripts here share: source this file, then call `set_up run`, or `set_up dev` for the tools too.
#
# It makes .venv, beside pyproject.toml, hold exactly what uv.lock says. It needs Python 3.11 to 3.15 and PyPI. It uses
# no network if nothing changed since the last time: a stamp in .venv names what was installed. Afterwards $ROOT is the
# repository and $PYTHON is the interpreter of .venv. A failure says what to install, and ends the calling script.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
PYTHON="$ROOT/.venv/bin/python"
QUORATE_TOOLS="$ROOT/.cache/uv-tool" # not in .venv: a sync removes what the lock does not name

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit 1
}

# What an interpreter says of itself, in one line: `ok`, a tab and its path, or why it cannot be used. Its arguments are
# modules that it must have. Older Pythons, 2 included, must understand it too.
QUORATE_PROBE='import sys
version = "%d.%d" % tuple(sys.version_info[:2])
lacking = []
for name in sys.argv[1:]:
    try:
        __import__(name)
    except ImportError:
        lacking.append(name)
if not (3, 11) <= sys.version_info[:2] <= (3, 15):
    said = "is Python " + version
elif not lacking:
    said = "ok\t" + sys.executable
elif set(lacking) <= set(["venv", "ensurepip"]):
    said = "lacks %s; Debian, Ubuntu: apt install python%s-venv" % (" and ".join(lacking), version)
else:
    said = "was built without " + ", ".join(lacking)
print(said)'

# Print the first interpreter that has a supported version and all modules. Each is tried, because a name on PATH proves
# nothing: Debian has venv and ensurepip in packages of their own, and a version manager puts names on PATH for versions
# that are not installed.
find_python() {
  local candidate said found='' modules=(ssl sqlite3 ctypes lzma)
  command -v uv >/dev/null || modules+=(venv ensurepip)
  for candidate in "${QUORATE_PYTHON:-}" python3 python3.15 python3.14 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    if command -v "$candidate" >/dev/null; then
      said="$("$candidate" -c "$QUORATE_PROBE" "${modules[@]}" 2>/dev/null)" || said='does not run'
      case "$said" in ok*) printf '%s\n' "${said#ok?}" && return ;; esac
      found="$found"$'\n'"    $(command -v "$candidate") ${said:-does not run}"
    fi
    [ "$candidate" != "${QUORATE_PYTHON:-}" ] || break
  done
  no_python "$found"
}

# Say what is there, why it cannot be used, and what to install.
no_python() {
  [ -z "${QUORATE_PYTHON:-}" ] ||
    fail "QUORATE_PYTHON names no usable Python 3.11 to 3.15.${1:-$'\n'"    $QUORATE_PYTHON is not a program"}"
  fail "no usable Python 3.11 to 3.15.${1:+ Found:$1}
  Debian 12, Ubuntu 24.04 or later: apt install python3 python3-venv     Fedora: dnf install python3.14
  Ubuntu 22.04: apt install python3.11 python3.11-venv     macOS: brew install python@3.14
  Anywhere: uv python install 3.14 (https://docs.astral.sh/uv). QUORATE_PYTHON names one that is not on PATH."
}

# Run a command, and show its output only if it failed by itself: Ctrl-C makes Python print a traceback.
quietly() {
  local output
  output="$("$@" 2>&1)" || { printf '%s\n' "$output" >&2 && return 1; }
}

# Print the path of a uv: the one on PATH, or one that this function installs from PyPI.
find_uv() {
  command -v uv && return
  if ! "$QUORATE_TOOLS/bin/uv" --version >/dev/null 2>&1; then
    rm -rf "$QUORATE_TOOLS"
    quietly "$1" -m venv "$QUORATE_TOOLS" || fail "cannot make a virtual environment; Debian, Ubuntu: apt install python3-venv"
    quietly "$QUORATE_TOOLS/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.7,<1' ||
      fail "cannot install uv from PyPI. The first run needs the network; behind a proxy set HTTPS_PROXY and SSL_CERT_FILE."
  fi
  printf '%s\n' "$QUORATE_TOOLS/bin/uv"
}

# Print in one line what .venv should hold. Fail if its interpreter is missing or broken, or has another version than
# QUORATE_PYTHON.
wanted_stamp() {
  "$PYTHON" - "$ROOT" "${QUORATE_PYTHON:+$("$QUORATE_PYTHON" -V 2>&1)}" <<'END' 2>/dev/null
import hashlib, pathlib, platform, sys
root, asked = pathlib.Path(sys.argv[1]), sys.argv[2]
version = f"Python {platform.python_version()}"
if not (3, 11) <= sys.version_info[:2] <= (3, 15) or asked not in ("", version):
    sys.exit(1)
files = b"".join((root / name).read_bytes() for name in ("uv.lock", "pyproject.toml", "setup.py"))
print(hashlib.sha256(files).hexdigest(), version, root)
END
}

# Whether .venv holds all that the group needs. A .venv with the tools holds what `run` needs as well.
is_set_up() {
  local wanted had
  had="$(cat "$ROOT/.venv/.stamp" 2>/dev/null)" && wanted="$(wanted_stamp)" &&
    { [ "$had" = "$wanted dev" ] || [ "$had" = "$wanted $1" ]; }
}

set_up() {
  is_set_up "$1" && return
  # Bash runs the trap when the command that runs has ended, and before it looks why: no false cause is told.
  trap 'printf "\n%s: interrupted; the same command goes on with the set-up\n" "$(basename "$0")" >&2; exit 130' INT
  QUORATE_FOUND="$(find_python)" || exit 1
  mkdir -p "$ROOT/.cache"
  exec 9>"$ROOT/.cache/set-up.lock"
  lock_nine --no-wait || { printf 'Waiting for another set-up of %s ...\n' "$ROOT" >&2 && lock_nine; } || true # a file system without locks: go on
  is_set_up "$1" || make_set_up "$1"
  exec 9>&- # what this script starts must not hold it
  trap - INT
}

# Lock descriptor 9. The lock is this shell's, because a lock of flock(2) belongs to what was opened. There is no
# program `flock` on macOS.
lock_nine() {
  "$QUORATE_FOUND" -c 'import fcntl, sys
try: fcntl.flock(9, fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[1:] else 0))
except BlockingIOError: sys.exit(1)' "$@" 2>/dev/null # Ctrl-C makes Python print a traceback
}

# Remove what is no environment: a set-up was killed, or its Python was uninstalled. uv refuses such a folder.
remove_remains() {
  [ -x "$PYTHON" ] || rm -rf "$ROOT/.venv"
}

make_set_up() {
  local group="$1" stamp="$ROOT/.venv/.stamp" had wanted python uv
  had="$(cat "$stamp" 2>/dev/null || true)"
  wanted="$(wanted_stamp)" || wanted=''
  case "$had" in *' dev') group=dev ;; esac # `set_up run` does not remove the tools
  case "$had" in
    '' | *" $ROOT "*) ;;
    *) rm -rf "$ROOT/.venv" && wanted='' ;; # it was moved or copied here: its scripts have the old path
  esac
  remove_remains
  python="$QUORATE_FOUND"
  [ -n "$wanted" ] && python="$PYTHON" # .venv keeps its Python
  uv="$(find_uv "$python")" || exit 1
  printf 'Setting up .venv with %s ...\n' "$("$python" -V)" >&2
  rm -f "$stamp"
  (
    cd "$ROOT" && unset VIRTUAL_ENV
    export UV_PYTHON_DOWNLOADS=never UV_PYTHON="$python" UV_PROJECT_ENVIRONMENT="$ROOT/.venv"
    case "$group" in
      dev) "$uv" sync --quiet --frozen ;;
      run) "$uv" sync --quiet --frozen --no-dev ;;
    esac
  ) || fail "cannot install the dependencies (see above). The first run needs PyPI; behind a proxy set HTTPS_PROXY and SSL_CERT_FILE."
  wanted="$(wanted_stamp)" || fail "$ROOT/.venv is not usable; remove it and try again"
  printf '%s %s\n' "$wanted" "$group" >"$stamp"
}

# Make sure that the tests of deploy/ have promtool. It is taken out of the package `prometheus` of Debian or Ubuntu, which
# is not installed: it would start a server. Everywhere else one line says what to install.
set_up_promtool() {
  (cd "$ROOT" && "$PYTHON" -m tests.support.promtool >/dev/null 2>&1) && return
  if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    fetch_promtool
  fi
  (cd "$ROOT" && "$PYTHON" -m tests.support.promtool >/dev/null) || true
}

fetch_promtool() {
  local folder="$ROOT/.cache/prometheus"
  printf 'Fetching promtool by apt-get ...\n' >&2
  rm -rf "$folder" && mkdir -p "$folder"
  (cd "$folder" && { download_prometheus || { update_packages && download_prometheus; }; } &&
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && rm prometheus_*.deb) >"$folder/log" 2>&1 ||
    { printf 'that failed:\n' && tail -n 3 "$folder/log"; } >&2
}

download_prometheus() {
  timeout 300 apt-get download prometheus
}

update_packages() { # only root can; a container has no lists at first
  [ "$(id -u)" -eq 0 ] && timeout 300 apt-get update
}

# Make sure that tests/browser has a Chromium. Only Debian has a package of it (Ubuntu's is a snap), and only root can
# install it. Everywhere else one line says what to install.
set_up_chromium() {
  (cd "$ROOT" && "$PYTHON" -m tests.browser.chromium >/dev/null 2>&1) && return
  if [ "$(id -u)" -eq 0 ] && [ -z "${QUORATE_CHROMIUM:-}" ] && grep -qs '^ID=debian' /etc/os-release; then
    install_chromium
  fi
  (cd "$ROOT" && "$PYTHON" -m tests.browser.chromium >/dev/null) || true
}

install_chromium() {
  local log
  log="$(mktemp)"
  printf 'Installing chromium by apt-get ...\n' >&2
  export DEBIAN_FRONTEND=noninteractive
  timeout 600 sh -c 'apt-get update && apt-get install -o DPkg::Lock::Timeout=300 -y --no-install-recommends chromium fonts-liberation' >"$log" 2>&1 ||
    { printf 'that failed:\n' && tail -n 3 "$log"; } >&2
  rm -f "$log"
}
