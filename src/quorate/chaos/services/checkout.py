"""What a source checkout has besides: the servers that its tests fetch, and their double of nsqd."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import quorate
from quorate.errors import QuorateError

ROOT = Path(quorate.__file__).parents[2]
SCRIPT = ROOT / "scripts" / "services.sh"
DOUBLE = ROOT / "tests" / "doubles" / "nsq" / "__main__.py"
MONGO_URL = "QUORATE_TEST_MONGO_URL"
UP_S = 120.0
DOWN_S = 60.0


class NotHad(QuorateError):
    """A server cannot be had here. The text says why, and what to do."""

    status, kind, title, retry_after_s = 503, "no-service", "A server cannot be had", 0.0


def consul_program() -> str | None:
    """That was fetched for tests."""
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "quorate" if os.environ.get("XDG_CACHE_HOME") else ROOT / ".cache"
    fetched = cache / "consul-1.8" / "usr" / "bin" / "consul"
    return str(fetched) if SCRIPT.exists() and fetched.exists() else None


def double_of_nsqd() -> list[str] | None:
    return [sys.executable, "-m", "tests.doubles.nsq", "nsqd"] if DOUBLE.exists() else None


class ScriptedMongo:
    """A MongoDB that `scripts/services.sh` starts, if it was fetched before. It is stopped also if this process dies.

    The script's servers go on when it ends. So a second process waits until a pipe from us closes, and stops them.
    """

    def __init__(self, folder: Path) -> None:
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("QUORATE_")}
        self._env |= {"QUORATE_SERVICES_DIR": str(folder), "QUORATE_SERVICES_FETCH": "0"}
        self._warden: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Its URL. Raises `NotHad`."""
        if not SCRIPT.exists():
            raise NotHad("there is no mongod on PATH")
        down = f"cat > /dev/null; exec bash {shlex.quote(str(SCRIPT))} down --purge mongo"
        self._warden = subprocess.Popen(
            ["bash", "-c", down],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._env,
            start_new_session=True,
        )
        try:
            self._run("up", "mongo")
            url = _given(self._run("env", "--only", "tests", "mongo")).get(MONGO_URL)
            if url is None:
                raise NotHad("scripts/services.sh gives no MongoDB")
        except BaseException:
            self.close()
            raise
        return url

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["bash", str(SCRIPT), *arguments],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=UP_S,
            start_new_session=True,  # Ctrl-C is for us: the run ends first
        )
        if done.returncode != 0:
            raise NotHad((done.stderr.strip().splitlines() or ["scripts/services.sh failed"])[-1])
        return done.stdout

    def close(self) -> None:
        """Idempotent."""
        if (warden := self._warden) is not None:
            assert warden.stdin is not None
            warden.stdin.close()
            warden.wait(DOWN_S)


def _given(lines: str) -> Mapping[str, str]:
    """What `services.sh env` exports."""
    words = (shlex.split(line) for line in lines.splitlines())
    pairs = (word.partition("=") for export, *rest in words for word in rest if export == "export")
    return {name: value for name, _, value in pairs}
