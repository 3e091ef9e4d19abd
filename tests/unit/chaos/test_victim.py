"""The disk and the clock of a victim, as its orders say."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quorate import crash_points
from quorate.chaos.orders import CrashOrder, Orders, last_crash, read_orders, write_orders
from quorate.chaos.victim.control import Control
from quorate.chaos.victim.files import VictimFiles
from quorate.chaos.victim.seams import VictimSeams
from quorate.cluster.raft.storage.files import OsFiles
from tests.support.waiting import wait_for

POINT = crash_points.POINTS[0]
WRITTEN = bytes(range(256)) * 64


def files_in(folder: Path, orders: Orders | None = None) -> VictimFiles:
    folder.mkdir(exist_ok=True)
    if orders is not None:
        write_orders(folder, orders)
    return VictimFiles(OsFiles(folder), Control(folder, lambda orders: None))


@pytest.fixture
def files(tmp_path: Path) -> Iterator[VictimFiles]:
    with closing(files_in(tmp_path)) as files:
        yield files


def test_without_orders_it_is_the_disk_itself(files: VictimFiles, tmp_path: Path) -> None:
    files.write("a", 0, b"one")
    files.write("a", 3, b"two", durable=True)
    files.replace("a", "b")
    assert b"onetwo" == (tmp_path / "b").read_bytes() == files.read("b")
    files.truncate("b", 3)
    assert (3, b"ne", ["b"]) == (files.size("b"), files.read_at("b", 1, 5), files.names())
    files.remove("b")
    assert [] == files.names()


def test_only_what_is_synced_is_there_after_the_power_went(tmp_path: Path) -> None:
    """Unsynced data may be there in part, and its file may be missing."""
    there = []
    for i in range(40):
        folder = tmp_path / str(i)
        files = files_in(folder, Orders(holds_back=True, seed=i))
        files.write("synced", 0, WRITTEN)
        files.sync("synced")
        files.write("unsynced", 0, WRITTEN)
        files.write("aside", 0, WRITTEN, durable=True)
        files.replace("aside", "renamed")
        assert {"synced", "unsynced", "renamed"} == {n for n in files.names() if not n.startswith("chaos")}
        assert [WRITTEN] * 3 == [files.read(n) for n in ("synced", "unsynced", "renamed")]
        assert (len(WRITTEN), WRITTEN[5:9]) == (files.size("unsynced"), files.read_at("unsynced", 5, 4))
        after = OsFiles(folder)  # the process was killed: nobody closed its files
        assert [WRITTEN, WRITTEN] == [after.read("synced"), after.read("renamed")]
        assert "aside" not in after.names()
        there.append(after.read("unsynced") if "unsynced" in after.names() else None)
        after.close()
        files.close()
        assert WRITTEN == (folder / "unsynced").read_bytes(), "an orderly end loses nothing"
    assert None in there
    assert len(set(there)) > 2, "nothing arrived early, or always the same"


def test_a_full_disk_refuses_what_has_no_room_until_there_is_some(files: VictimFiles, tmp_path: Path) -> None:
    files.write("a", 0, b"1234")
    write_orders(tmp_path, Orders(room_bytes=3))
    files.write("a", 0, b"over")  # no growth
    files.write("a", 4, b"56")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.write("a", 6, b"789")
    files.remove("a")
    files.write("b", 0, b"1234")
    write_orders(tmp_path, Orders())
    files.write("b", 0, WRITTEN)


def test_a_failed_sync_loses_what_it_should_have_written(tmp_path: Path) -> None:
    with closing(files_in(tmp_path, Orders(holds_back=True, sync_fails=True))) as files:
        files.write("a", 0, b"new")
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            files.sync("a")
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            files.write("b", 0, b"new", durable=True)
        write_orders(tmp_path, Orders(holds_back=True))
        files.write("c", 0, b"new", durable=True)
        assert b"new" == (tmp_path / "c").read_bytes()


def test_a_hanging_disk_goes_on_when_the_order_is_taken_back(files: VictimFiles, tmp_path: Path) -> None:
    write_orders(tmp_path, Orders(hangs=True))
    writing = threading.Thread(target=lambda: files.write("a", 0, b"x", durable=True))
    writing.start()
    writing.join(0.1)
    assert writing.is_alive()
    write_orders(tmp_path, Orders())
    writing.join(10)
    assert b"x" == (tmp_path / "a").read_bytes()


def test_a_slow_disk_is_slow(files: VictimFiles, tmp_path: Path) -> None:
    write_orders(tmp_path, Orders(sync_delay_s=0.05))
    began_s = time.monotonic()
    files.write("a", 0, b"x", durable=True)
    assert time.monotonic() - began_s >= 0.05


def test_the_wall_clock_jumps_and_drifts_and_the_timer_notices(tmp_path: Path) -> None:
    seen: list[Orders] = []
    control = Control(tmp_path, seen.append)
    control.watch()
    assert abs(control.wall() - time.time()) < 60
    write_orders(tmp_path, Orders(ahead_s=3_600, drift=1.0, drifts_from_s=time.time() - 100))
    wait_for("the orders are seen", lambda: len(seen) == 2)
    assert 3_690 < control.wall() - time.time() < 3_900


def test_orders_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert Orders() == read_orders(tmp_path)
    orders = Orders(hangs=True, doors={"n2": 7}, crash=CrashOrder(3, crash_points.POINTS[0]))
    write_orders(tmp_path, orders)
    assert orders == read_orders(tmp_path)
    assert 0 == last_crash(tmp_path)


def test_a_crash_is_ordered_once_and_counts(tmp_path: Path) -> None:
    point, other = crash_points.POINTS[0], crash_points.POINTS[1]
    died: list[str] = []
    crash_points.arm(point, 2, lambda: died.append(point))
    crash_points.crash_point(other)
    crash_points.crash_point(point)
    assert [] == died
    crash_points.crash_point(point)
    crash_points.crash_point(point)
    assert [point] == died
    crash_points.disarm()
    with pytest.raises(ValueError, match="no crash point"):
        crash_points.arm("nowhere", 1, lambda: None)


def test_a_process_that_is_told_to_stand_still_goes_on_when_it_is_told_to(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from quorate import crash_points
from quorate.chaos.orders import CrashOrder, Orders
from quorate.chaos.victim.seams import arm_crash
arm_crash(Path({str(tmp_path)!r}), Orders(crash=CrashOrder(4, {POINT!r}, stops=True)))
crash_points.crash_point({POINT!r})
crash_points.crash_point({POINT!r})
"""
    standing = subprocess.Popen([sys.executable, "-c", program])
    assert os.waitpid(standing.pid, os.WUNTRACED)[1] == signal.SIGSTOP << 8 | 0x7F
    assert 4 == last_crash(tmp_path)
    standing.send_signal(signal.SIGCONT)
    assert 0 == standing.wait(20)


def test_the_seams_find_the_orders_in_the_folder_of_the_node(tmp_path: Path) -> None:
    write_orders(tmp_path, Orders(ahead_s=50))
    seams = VictimSeams()
    with closing(seams.open_files(tmp_path)):
        assert seams.environment().wall() > time.time() + 40
