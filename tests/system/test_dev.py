"""`quorate dev` with real nodes: it shows a killed node, takes in a node started by hand, and leaves no node behind."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from quorate import pidfile
from quorate.client.http import JsonClient
from quorate.dev.folder import RAFT_PORT_OFFSET
from quorate.processes.process import Process
from tests.support.checkout import ROOT, build_wheel
from tests.support.waiting import let_pass, wait_for
from tests.system.test_bootstrap import first_of_free_ports

Start = Callable[..., Process]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def dev(tmp_path: Path, data: Path) -> Iterator[Start]:
    started: list[Process] = []

    def start(*flags: str) -> Process:
        command = [sys.executable, "-m", "quorate", "dev", "--nodes", "1", "--data", str(data), *flags]
        process = Process("dev", command, tmp_path / f"dev{len(started)}.txt")
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.close()
    if left := pidfile.running(data / "n1"):
        os.kill(left, signal.SIGKILL)


def says(process: Process, words: str) -> None:
    wait_for(
        f"it says {words!r}",
        lambda: words in process.output() or not process.running,
        deadline_s=40,
        seen=process.tail,
    )
    assert words in process.output(), process.tail()


def node_of(data: Path) -> int:
    return wait_for("n1 runs", lambda: pidfile.running(data / "n1"))


def gone(data: Path) -> None:
    wait_for("n1 has ended", lambda: pidfile.running(data / "n1") is None)


@pytest.mark.timeout(150)
def test_a_killed_node_stays_down_and_one_started_by_hand_belongs(dev: Start, data: Path, tmp_path: Path) -> None:
    process = dev("--port", str(first_of_free_ports(1)), "--note", "nsqadmin: http://127.0.0.1:4171")
    says(process, "nsqadmin: http://127.0.0.1:4171\nData: ")
    says(process, "n1 leads")
    says(process, "mood: ")
    os.kill(node_of(data), signal.SIGKILL)
    says(process, "n1 is down (killed by signal 9); start it again: ")
    let_pass(1.0, because="it must stay down")
    assert pidfile.running(data / "n1") is None

    command = re.search(r"start it again: (.*)", process.output())
    assert command is not None
    by_hand = Process("n1", shlex.split(command[1]), tmp_path / "by-hand.txt", cwd=Path("/"))
    try:
        by_hand.start()
        wait_for("dev sees it", lambda: 2 == process.output().count("n1 is up"), seen=process.tail)
        assert 0 == process.stop(), process.tail()
        assert 0 == by_hand.ended()
    finally:
        by_hand.close()


@pytest.mark.timeout(150)
def test_with_resp_redis_clients_are_let_in_where_it_says(dev: Start, data: Path) -> None:
    port = first_of_free_ports(1)
    process = dev("--port", str(port), "--resp", "--no-feed")
    says(process, "n1 leads")
    told = re.search(r"redis-cli -p (\d+) xadd poll:mood IDMP you 1 '\*' option happy\n", process.output())
    assert told is not None, process.tail()
    with JsonClient([f"http://127.0.0.1:{port}"], timeout_s=30) as client:
        client.create_poll("mood", ["happy", "sad"])
    with redis.Redis("127.0.0.1", int(told[1]), decode_responses=True) as door:
        for _ in range(2):
            door.xadd("poll:mood", {"option": "happy"}, idmp=("you", b"1"))
        assert {"happy": "1", "sad": "0"} == door.hgetall("poll:mood")


@pytest.mark.timeout(150)
def test_no_node_outlives_a_dev_that_is_killed_and_the_cluster_goes_on(dev: Start, data: Path) -> None:
    process = dev("--port", str(first_of_free_ports(1)), "--restart")
    says(process, "mood: ")
    first = node_of(data)
    os.kill(first, signal.SIGKILL)
    wait_for("n1 is started again", lambda: (pidfile.running(data / "n1") or first) != first)
    says(process, "n1 leads (term 2)")
    process.kill()
    gone(data)

    again = dev()
    says(again, "n1 leads")
    says(again, "mood: ")
    again.signal(signal.SIGINT)
    assert 0 == again.ended(), again.tail()
    gone(data)


@pytest.mark.timeout(150)
def test_a_node_that_was_removed_stays_down_and_the_others_start_without_it(dev: Start, data: Path) -> None:
    """Also with --restart, which starts again whatever ends."""
    port = str(first_of_free_ports())
    process = dev("--nodes", "3", "--port", port, "--no-feed", "--restart")
    says(process, " leads (term ")
    with JsonClient([f"http://127.0.0.1:{port}"], timeout_s=30) as client:
        client.change_members("remove", "n3")
    says(process, "n3 is removed")
    assert 0 == process.stop(), process.tail()
    again = dev("--nodes", "3", "--no-feed", "--restart")
    says(again, " leads (term ")
    says(again, "n3 is removed")
    assert 0 == again.stop(), again.tail()
    assert "n3 is restarting" not in process.output() + again.output()


@pytest.mark.timeout(240)
def test_the_wheel_does_what_the_clone_does(tmp_path: Path) -> None:
    """The wheel's files, without the clone's: they show the same, and serve the same page."""
    wheel = tmp_path / "wheel"
    wheel.mkdir()
    with zipfile.ZipFile(build_wheel(wheel)) as archive:
        archive.extractall(wheel / "files")
    seen = [
        first_minute(tmp_path / name, env)
        for name, env in (("clone", {}), ("installed", {"PYTHONPATH": str(wheel / "files")}))
    ]
    assert [str(ROOT / "src"), str(wheel / "files")] == [str(package.parent) for package, *_ in seen]
    assert seen[0][1:] == seen[1][1:]


def first_minute(folder: Path, env: dict[str, str]) -> tuple[Path, str, str, bytes]:
    """Where the package is; what `quorate dev` shows, and the settings it writes, without what differs; the page."""
    folder.mkdir()
    python = [sys.executable, "-P"]
    program = "import quorate, pathlib; print(pathlib.Path(quorate.__file__).parent)"
    found = subprocess.run([*python, "-c", program], env={**os.environ, **env}, capture_output=True, text=True)
    port = first_of_free_ports(1)
    dev = ["-m", "quorate", "dev", "--nodes", "1", "--port", str(port), "--data", str(folder / "data")]
    process = Process("dev", [*python, *dev], folder / "dev.txt", env=env, cwd=folder)
    try:
        process.start()
        says(process, "n1 leads")
        says(process, "mood: happy 1,976")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            page = answer.read()
        process.signal(signal.SIGINT)
        assert 0 == process.ended(), process.tail()
    finally:
        process.close()
    settings = (folder / "data" / "n1" / "quorate.toml").read_text()
    own = re.compile(rf"{port}|{port + RAFT_PORT_OFFSET}|process \d+|mood: .*\n|{re.escape(str(folder))}|key = .*")
    return Path(found.stdout.strip()), own.sub("", process.output()), own.sub("", settings), page


@pytest.mark.timeout(60)
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(data: Path, tmp_path: Path) -> None:
    """`nohup quorate dev &`: it goes on when the terminal closes, and ends by SIGTERM."""
    dev = [sys.executable, "-m", "quorate", "dev", "--nodes", "1", "--no-feed", "--data", str(data)]
    ignoring = ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh", *dev, "--port", str(first_of_free_ports(1))]
    process = Process("dev", ignoring, tmp_path / "dev.txt")
    process.start()
    try:
        says(process, "n1 leads")
        node = node_of(data)
        process.signal(signal.SIGHUP)
        process.signal(signal.SIGINT)
        os.kill(node, signal.SIGKILL)
        says(process, "n1 is down (killed by signal 9)")
        assert 0 == process.stop(), process.tail()
    finally:
        process.close()


@pytest.mark.timeout(60)
def test_a_node_that_cannot_start_is_told_with_the_end_of_its_log(dev: Start, data: Path) -> None:
    process = dev("--port", str(first_of_free_ports(1)), "--no-feed")
    says(process, "n1 leads")
    process.stop()
    (data / "n1" / "identity.json").write_text("{")
    broken = dev("--no-feed")
    assert 1 == broken.ended()
    assert "n1 did not start. The end of " in broken.output()
    assert "identity.json" in broken.output()
