"""The folder of the running servers, the folder of fetched programs, the ports, and the lock of the folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import Failed, Processes, wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
# Linux takes ports for outgoing connections from 32768 on. Below that, a free port stays free until its use.
PORTS = range(16_000, 20_000)  # the nodes of tests take theirs above
HOLD_S = 900  # another `up` may be fetching


def services_folder() -> Path:
    return Path(os.environ.get("QUORATE_SERVICES_DIR") or REPOSITORY / ".services").absolute()


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base).absolute() / "quorate" if base else REPOSITORY / ".cache"


@dataclass(frozen=True)
class Gives:
    """The environment variables that a server gives: addresses for tests, and settings for a node."""

    tests: dict[str, str] = field(default_factory=dict)
    node: dict[str, str] = field(default_factory=dict)


class Folder:
    """The running servers. `state.json` says how each was found, its ports, and the variables that it gives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.processes = Processes(path)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let one program at a time use the folder. If the program dies, the kernel releases the lock."""
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path / "lock"):
            yield

    def state(self, server: str) -> dict[str, Any]:
        return dict(self._read().get(server, {}))

    def remember(self, server: str, **known: Any) -> None:
        self._write({**self._read(), server: {**self.state(server), **known}})

    def forget(self, server: str) -> None:
        """Forget the server, but not its ports and the variables it gave: a shell may still have its address."""
        state = self.state(server)
        self._write({**self._read(), server: {"ports": state.get("ports", {}), "gave": self.gave(server)}})

    def gave(self, server: str) -> dict[str, str]:
        """The variables for tests of a server that we started: those of now, or of its last run."""
        state = self.state(server)
        ours = state.get("how") not in (None, "given") and "tests" in state
        return dict(state["tests"] if ours else state.get("gave", {}))

    def gives(self, server: str) -> Gives:
        state = self.state(server)
        return Gives(state.get("tests", {}), state.get("node", {}))

    def port(self, server: str, name: str) -> int:
        """The port of this name. It is the same every time, so that a restarted server has the same address."""
        ports = self.state(server).get("ports", {})
        if name not in ports:
            taken = {port for known in self._read().values() for port in known.get("ports", {}).values()}
            ports[name] = free_port(taken)
            self.remember(server, ports=ports)
        return int(ports[name])

    def drop_lost_ports(self, server: str) -> None:
        """Forget the ports that other programs have taken while the server did not run."""
        ports = self.state(server).get("ports", {})
        kept = {name: port for name, port in ports.items() if _free(port)}
        if kept != ports:
            self.remember(server, ports=kept)

    def check(self) -> None:
        """Raises `Failed` if the state cannot be read."""
        self._read()

    def begin_anew_if_damaged(self) -> None:
        """Forget a state that cannot be read. The processes have records of their own, by which they are stopped."""
        try:
            self._read()
        except Failed:
            (self.path / "state.json").unlink()

    def _read(self) -> dict[str, dict[str, Any]]:
        path = self.path / "state.json"
        try:
            return {server: dict(known) for server, known in json.loads(path.read_text()).items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError):
            raise Failed(f"{path} is damaged; `services.sh down` stops what runs and begins anew") from None

    def _write(self, state: dict[str, dict[str, Any]]) -> None:
        new = self.path / "state.new"
        new.write_text(json.dumps(state, indent=1))
        new.rename(self.path / "state.json")


def free_port(taken: set[int]) -> int:
    for port in random.sample(PORTS, 200):
        if port not in taken and _free(port):
            return port
    raise Failed("no free port found on 127.0.0.1 from 16000 to 20000")


def _free(port: int) -> bool:
    return _bindable(port, socket.SOCK_STREAM) and _bindable(port, socket.SOCK_DGRAM)


def _bindable(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection that lingers does not matter
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def accepts(address: str, timeout_s: float = 2) -> bool:
    """Whether a program accepts connections at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:

        def taken() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_for(f"another services.sh holds {path}", taken, HOLD_S)
        yield


def unmount_below(folder: Path) -> None:
    """Unmount what a killed fetch may have left mounted, the deepest first."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return
    points = [line.split(" ")[1].encode().decode("unicode_escape") for line in mounts.read_text().splitlines()]
    for point in sorted((point for point in points if Path(point).is_relative_to(folder)), key=len, reverse=True):
        if subprocess.run(["umount", point], timeout=30).returncode != 0:
            raise Failed(f"{point} is still mounted and cannot be unmounted")


def remove(folder: Path) -> None:
    """Remove a folder with its content, but nothing that is mounted in it."""
    unmount_below(folder)
    shutil.rmtree(folder, ignore_errors=True)
