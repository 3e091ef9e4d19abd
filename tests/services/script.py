"""`scripts/services.sh` with a folder of the test's own: servers that it may kill, and that end with it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.consul_agent import ROOT

SCRIPT = str(ROOT / "scripts/services.sh")


@dataclass
class Services:
    """The script with a folder of its own, and none of the environment's addresses."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("QUORATE_")}
        self.env = {**inherited, "QUORATE_SERVICES_DIR": str(self.folder), **self.env}

    def __call__(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        bash = shutil.which("bash") or "bash"
        argv, whole = [bash, SCRIPT, *arguments], {**self.env, **env}
        return subprocess.run(argv, env=whole, capture_output=True, text=True, timeout=600)

    def up(self, *servers: str, **env: str) -> str:
        answer = self("up", *servers, **env)
        assert 0 == answer.returncode, answer.stderr
        return answer.stdout

    def gives(self, *flags: str) -> dict[str, str]:
        lines = (shlex.split(line) for line in self("env", *flags).stdout.splitlines())
        return dict(assignment.split("=", 1) for export, assignment in lines if export == "export")

    def pid(self, name: str) -> int:
        return int((self.folder / "run" / f"{name}.pid").read_text().split()[0])


def alive(pid: int) -> bool:
    """A zombie is not: it waits for a parent that is not ours."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
