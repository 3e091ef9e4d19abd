"""What moves a victim's wall clock: its seam, or a file that libfaketime reads."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from quorate.chaos.clock_file import FILE, NAMES, forget_the_dead
from quorate.chaos.orders import Orders
from quorate.chaos.preload import LIBRARY, Preload, found_library, working_preload
from quorate.chaos.victim.wall_clock import PreloadedClock, SeamClock, wall_clock

BEGIN_S = 1_000_000.0  # of the real wall clock


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As with libfaketime, the clock says what stands in this file."""
    file, monotonic_s = tmp_path / "n1.clock", time.monotonic()

    def ahead_s() -> float:
        return float(file.read_text()) if file.exists() else 0.0

    monkeypatch.setattr("time.time", lambda: BEGIN_S + time.monotonic() - monotonic_s + ahead_s())
    return file


def test_a_jump_stands_in_the_file_and_is_taken_back(file: Path) -> None:
    clock = PreloadedClock(file)
    clock.follow(Orders())
    assert not file.exists()
    clock.follow(Orders(ahead_s=3600.5))
    assert "+3600.500000" == file.read_text()
    assert abs(clock.now(Orders(ahead_s=3600.5)) - BEGIN_S - 3600.5) < 60, "it is not moved twice"
    clock.follow(Orders(ahead_s=-20))
    assert "-20.000000" == file.read_text()
    clock.follow(Orders())
    assert "+0.000000" == file.read_text()


def test_a_clock_drifts_with_the_real_time_and_not_with_its_own(file: Path) -> None:
    clock, drift = PreloadedClock(file), Orders(drift=0.5, drifts_from_s=BEGIN_S - 1000)
    clock.follow(drift)
    first = float(file.read_text())
    assert 500 <= first < 530
    for _ in range(20):
        clock.follow(drift)
    assert first <= float(file.read_text()) < 530


def test_what_the_clock_was_moved_by_before_a_restart_is_not_taken_for_the_time(file: Path) -> None:
    PreloadedClock(file).follow(Orders(ahead_s=86_400))
    again = PreloadedClock(file)
    again.follow(Orders(drift=1.0, drifts_from_s=BEGIN_S - 100))
    assert 100 <= float(file.read_text()) < 160


def test_without_libfaketime_the_seam_moves_and_the_process_does_not() -> None:
    clock = wall_clock({})
    assert isinstance(clock, SeamClock)
    clock.follow(Orders(ahead_s=50))
    assert 49 < clock.now(Orders(ahead_s=50)) - time.time() < 60
    assert 99 < clock.now(Orders(drift=1.0, drifts_from_s=time.time() - 100)) - time.time() < 160


def test_a_process_is_told_its_file_and_keeps_what_others_preload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/lib/other.so")
    told = Preload(Path("/lib/faketime.so")).environment(Path("/run/n1.clock"))
    assert "/lib/faketime.so /lib/other.so" == told["LD_PRELOAD"]
    assert "/run/n1.clock" == told[FILE]


@pytest.mark.parametrize("place", ["lib/x86_64-linux-gnu/faketime", "lib64/faketime", "local/lib/faketime"])
def test_the_library_is_found_where_systems_put_it(tmp_path: Path, place: str) -> None:
    assert found_library(tmp_path) is None
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / LIBRARY).touch()
    assert tmp_path / place / LIBRARY == found_library(tmp_path)


def test_of_the_dead_alone_the_names_in_shared_memory_are_removed(tmp_path: Path) -> None:
    """And of those that began before the run none: they are others'."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = {f"{kind}{pid}" for kind in NAMES for pid in (dead.pid, os.getpid(), "x")}
    for name in names:
        (tmp_path / name).touch()
    forget_the_dead(time.time() + 60, tmp_path)
    assert names == {path.name for path in tmp_path.iterdir()}
    forget_the_dead(time.time() - 60, tmp_path)
    assert {name for name in names if not name.endswith(f"_{dead.pid}")} == {path.name for path in tmp_path.iterdir()}


def test_a_library_that_does_not_do_it_is_not_used(tmp_path: Path) -> None:
    assert (None, "there is no libfaketime") == working_preload(None)
    preload, why_not = working_preload(tmp_path / LIBRARY)
    assert preload is None
    assert f"{tmp_path / LIBRARY} does harm: it does not move the clock" == why_not
