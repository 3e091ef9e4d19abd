"""A process is started, signalled, paused and ended, and it never outlives the program that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quorate.processes.ports import free_ports, is_free
from quorate.processes.process import Lifeline, Process, stop_all
from tests.support.waiting import NeverHappened, wait_for

LOOPS = "import time; print('up', flush=True)\nwhile True: time.sleep(0.02)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LOOPS}"

Make = Callable[..., Process]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Process] = []

    def process(program: str = LOOPS, **more: object) -> Process:
        name = f"p{len(made)}"
        made.append(Process(name, [sys.executable, "-c", program], tmp_path / f"{name}.log", **more))  # type: ignore[arg-type]
        return made[-1]

    yield process
    for each in made:
        each.close()


def started(process: Process) -> Process:
    before = process.output()
    process.start()
    wait_for(f"{process.name} says that it is up", lambda: "up" in process.output()[len(before) :], seen=process.tail)
    return process


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_process_that_does_not_run_has_no_pid_and_hears_nothing(make: Make) -> None:
    process = make()
    assert (None, False, None) == (process.pid, process.running, process.exit_status)
    process.signal(signal.SIGTERM)
    process.close()


def test_the_exit_status_is_the_code_or_minus_the_signal(make: Make) -> None:
    failing = make("print('no'); raise SystemExit(3)")
    failing.start()
    assert (3, "no") == (failing.ended(), failing.last_lines(1))
    assert -signal.SIGTERM == started(make()).stop()
    killed = started(make())
    killed.kill()
    assert (-signal.SIGKILL, None) == (killed.exit_status, killed.pid)


def test_a_process_starts_again_and_its_output_is_kept(make: Make) -> None:
    process = started(make())
    first = process.pid
    with pytest.raises(RuntimeError, match="runs already"):
        process.start()
    process.kill()
    started(process)
    assert first != process.pid
    assert "up\nup\n" == process.output()
    assert "(runs)" in process.tail()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_paused_process_stands_still_and_ends_when_it_is_asked_to(make: Make) -> None:
    process = started(make())
    assert process.pid is not None
    process.pause()
    wait_for("it stands still", lambda: "T" == state_of(process.pid or 0))
    process.resume()
    wait_for("it goes on", lambda: state_of(process.pid or 0) in "RS")
    process.pause()
    assert -signal.SIGTERM == process.stop()


def test_a_process_that_ignores_the_request_is_told_with_its_output(make: Make) -> None:
    with pytest.raises(NeverHappened, match=r"p0 has ended(.|\n)*up"):
        started(make(DEAF)).stop(deadline_s=0.1)


def test_of_several_the_deaf_one_is_killed_at_the_deadline(make: Make) -> None:
    polite, deaf, unstarted = started(make()), started(make(DEAF)), make()
    stop_all([polite, deaf, unstarted], deadline_s=3.0)
    assert (-signal.SIGTERM, -signal.SIGKILL, None) == (polite.exit_status, deaf.exit_status, unstarted.exit_status)


def test_our_settings_are_not_for_the_process(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_HTTP_LISTEN", "127.0.0.1:1")
    show = "import os; print(sorted(name for name in os.environ if name.startswith('QUORATE_')))"
    process = make(show, env={"QUORATE_LOG_LEVEL": "debug"})
    process.start()
    process.ended()
    assert "['QUORATE_LOG_LEVEL']" == process.last_lines(1)


STARTER = """
import sys, time
from pathlib import Path
from quorate.processes.process import Lifeline, Process
program, log, *lifeline = sys.argv[1:]
command = [sys.executable, "-c", program]
way = {"lifeline": Lifeline(), "dies_with_us": False} if lifeline else {}
child = Process("child", command, Path(log), **way)
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""
ENDS_WITH_PARENT = """
import os, sys
print("up", flush=True)
os.read(int(sys.argv[sys.argv.index("--parent-fd") + 1]), 1)
"""


@pytest.mark.parametrize(
    ("program", "more"),
    [
        pytest.param(
            LOOPS, [], marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel kills orphans")
        ),
        (ENDS_WITH_PARENT, ["lifeline"]),
    ],
)
def test_no_process_outlives_the_program_that_started_it(tmp_path: Path, program: str, more: list[str]) -> None:
    command = [sys.executable, "-c", STARTER, program, str(tmp_path / "log"), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    wait_for("the child has ended", lambda: not runs(pid))


def runs(pid: int) -> bool:
    """A zombie does not run: its new parent has yet to collect it."""
    try:
        os.kill(pid, 0)
        return not Path("/proc/self/stat").exists() or state_of(pid) != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_lifeline_may_be_closed_twice() -> None:
    line = Lifeline()
    line.close()
    line.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(line.reading_end)


def test_free_ports_are_free_and_differ() -> None:
    ports = free_ports(5)
    assert 5 == len(set(ports))
    assert all(is_free(port) for port in ports)
