"""What `quorate doctor` finds on a machine."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quorate import descriptors, pidfile
from quorate.config import Config, load
from quorate.doctor import machine
from quorate.doctor.finding import Finding
from quorate.doctor.machine import MB, look_at_machine


def settings(folder: Path, **others: Any) -> Config:
    flags = {"node.id": "n1", "node.data": str(folder), "http.listen": "127.0.0.1:0", "raft.listen": "127.0.0.1:0"}
    return load(env={}, flags={**flags, **others}).config


def found(config: Config) -> dict[str, Finding]:
    return {each.what: each for each in look_at_machine(config)}


def test_a_good_machine_is_good_and_nothing_is_left_there(tmp_path: Path) -> None:
    findings = found(settings(tmp_path / "new"))
    bad = {what for what, each in findings.items() if each.health == "bad"}
    assert bad <= {"file system"}  # where /tmp is in memory
    assert "which the node will make" in findings["data folder"].words
    assert [] == list(tmp_path.iterdir())


def test_a_folder_in_memory_loses_all_votes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_kind_of_file_system", lambda there: "tmpfs")
    finding = found(settings(tmp_path))["file system"]
    assert ("bad", True) == (finding.health, "node.data" in finding.todo)


def test_the_longest_mount_point_is_the_folder_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "in ner"
    inner.mkdir()
    escaped = str(inner).replace(" ", r"\040")
    lines = ["/dev/a / ext4 rw 0 0", f"none {escaped} tmpfs rw 0 0", f"/dev/b {tmp_path} xfs rw 0 0"]
    monkeypatch.setattr(Path, "read_text", lambda path, *a: "\n".join(lines))
    assert ["tmpfs", "xfs"] == [machine._kind_of_file_system(each) for each in (inner, tmp_path)]


@pytest.mark.parametrize(("free", "health"), [(100 * MB, "bad"), (1024 * MB, "warning"), (9999 * MB, "good")])
def test_a_disk_that_is_nearly_full_is_told(
    free: int, health: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=free // 4096, f_frsize=4096))
    assert health == found(settings(tmp_path))["disk space"].health


@pytest.mark.parametrize(("sync_s", "health"), [(0.3, "bad"), (0.03, "warning")])
def test_a_slow_disk_is_told(sync_s: float, health: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now_s=0.0)

    def sync(fd: int) -> None:
        clock.now_s += sync_s

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now_s)
    monkeypatch.setattr(machine, "SYNCS", 3)
    assert health == found(settings(tmp_path))["disk sync"].health


def test_a_port_that_somebody_has_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        finding = found(settings(tmp_path, **{"raft.listen": taken}))["raft.listen"]
    assert ("bad", True, True) == (finding.health, taken in finding.words, "raft.listen" in finding.todo)


def test_the_ports_of_a_node_that_runs_are_its_own(tmp_path: Path) -> None:
    held = pidfile.hold(tmp_path)
    assert held is not None
    with held:
        findings = found(settings(tmp_path))
    assert {"http.listen", "raft.listen"} & set(findings) == set()
    assert f"process {os.getpid()}" in findings["data folder"].words


def test_too_few_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "raise_limit", lambda connections: None)
    monkeypatch.setattr(descriptors, "connections_within", lambda wanted: 100)
    finding = found(settings(tmp_path))["open files"]
    assert ("warning", True) == (finding.health, "http.connections_max to 100" in finding.todo)
