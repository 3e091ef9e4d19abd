"""A system that is measured: three processes with HTTP addresses. And one round of load against it."""

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


class System(Protocol):
    @property
    def urls(self) -> Sequence[str]: ...
    @property
    def nodes(self) -> Sequence[Process]: ...


class Row(msgspec.Struct):
    """One round: what the clients measured, and the CPU time of all nodes together."""

    system: str
    figures: Figures
    cpu_us: float  # of all nodes, for each vote, or for each request without votes


def measure(name: str, system: System, workload: str, clients: int, *, warm_up_s: float, seconds: float) -> Row:
    command = [sys.executable, "-m", "bench.load", workload, *system.urls, "--clients", str(clients)]
    command += ["--warm-up", str(warm_up_s), "--seconds", str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as load:
        assert load.stdout is not None
        load.stdout.readline()  # the warm-up is over
        before_s = cpu_s(system)
        figures = msgspec.json.decode(load.stdout.readline(), type=Figures)
        spent_s = cpu_s(system) - before_s
    return Row(name, figures, spent_s * 1e6 / max(figures.votes or figures.requests, 1))


def cpu_s(system: System) -> float:
    return sum(node.cpu_s() for node in system.nodes if node.running)
