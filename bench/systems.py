"""A system that is measured: three processes with addresses. And one round of load against it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from bench.load import Figures
from quorate.processes.process import Process

ROOT = Path(__file__).parents[1]
OURS = "bench.load"


class System(Protocol):
    @property
    def urls(self) -> Sequence[str]: ...
    @property
    def nodes(self) -> Sequence[Process]: ...


class Row(msgspec.Struct):
    """One round: what the client measured, and the CPU time of the servers and of the client."""

    system: str
    figures: Figures
    servers_cpu_s: float  # of all nodes together
    client: str = OURS

    def whole(self) -> dict[str, object]:
        """With what follows from the figures."""
        derived = {"rate": self.rate, "client_cpu_s": self.client_cpu_s, "cpu_us": self.cpu_us}
        return {**msgspec.to_builtins(self), **derived}

    @property
    def counted(self) -> int:
        """Votes, or requests of a workload without votes."""
        return self.figures.votes or self.figures.requests

    @property
    def rate(self) -> float:
        return self.counted / self.figures.seconds

    @property
    def client_cpu_s(self) -> float:
        return self.figures.client_cpu_us * self.figures.requests / 1e6

    @property
    def all_cpu_s(self) -> float:
        return self.servers_cpu_s + self.client_cpu_s

    @property
    def cpu_us(self) -> float:
        """Of the servers, a vote."""
        return self.servers_cpu_s * 1e6 / max(self.counted, 1)


def measure(name: str, system: System, workload: str, clients: int, *, warm_up_s: float, seconds: float) -> Row:
    command = [sys.executable, "-m", "bench.load", workload, *system.urls, "--clients", str(clients)]
    command += ["--warm-up", str(warm_up_s), "--seconds", str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as load:
        assert load.stdout is not None
        load.stdout.readline()  # the warm-up is over
        before_s = cpu_s(system)
        figures = msgspec.json.decode(load.stdout.readline(), type=Figures)
        spent_s = cpu_s(system) - before_s
    return Row(name, figures, spent_s)


def cpu_s(system: System) -> float:
    return sum(node.cpu_s() for node in system.nodes if node.running)
