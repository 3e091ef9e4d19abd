"""The commands of the documents, run as a reader runs them: in one folder, against one `quorate dev`.

Left out are those that `tests.support.documents.NOT_RUN` names, each with its reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate import pidfile
from quorate.processes.process import Process
from tests.support.checkout import ROOT
from tests.support.documents import Block, blocks, text_of, why_not_run
from tests.support.waiting import wait_for
from tests.system.test_bootstrap import first_of_free_ports

NODES = ("n1", "n2", "n3")
ENDLESS = re.compile(r"^curl -N |--live ")  # until Ctrl-C
OF_A_STOPPED_NODE = re.compile(r"^quorate log \w+ --data")
COUNTED = ("applied", "duplicates")
KILLING = re.compile(r"^kill -9 ")

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("curl") is None or shutil.which("openssl") is None, reason="needs curl, openssl"),
]


class Reader:
    """Types commands into a shell, in a folder of their own, with the ports of this test's cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = first_of_free_ports()
        self.urls = [f"http://127.0.0.1:{self.port + at}" for at in range(len(NODES))]
        command = [sys.executable, "-m", "quorate", "dev", "--nodes", "3", "--port", str(self.port), "--restart"]
        self.dev = Process("dev", command, folder / "dev.txt", cwd=folder)

    def here(self, text: str) -> str:
        """The commands, for this cluster and this folder."""
        text = re.sub(r"127\.0\.0\.1:(800[1-3])\b", lambda found: f"127.0.0.1:{self.port + int(found[1]) - 8001}", text)
        return re.sub(r"(?<![\w.])/(etc/quorate|backups)/", f"{self.folder}/", text).replace("~/", f"{self.folder}/")

    def env(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("QUORATE_")}
        env = {"PATH": f"{ROOT / '.venv' / 'bin'}:{own['PATH']}", "QUORATE_NODES": ",".join(self.urls)}
        return {**own, **env, "HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state")}

    def types(self, text: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-euo", "pipefail", "-c", text]
        return subprocess.run(command, cwd=self.folder, env=self.env(), capture_output=True, text=True, timeout=60)

    def follows(self, text: str) -> None:
        """A command that does not end by itself says something, and ends on Ctrl-C."""
        said = self.folder / "followed.txt"
        with said.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-c", text],
                cwd=self.folder,
                env=self.env(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(f"{text} says something", lambda: said.stat().st_size, deadline_s=60)
            os.killpg(process.pid, signal.SIGINT)
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def all_nodes_are_up(self) -> None:
        """A command of before may have killed one, which `quorate dev` started again."""
        wait_for("all nodes are ready", lambda: all(map(is_ready, self.urls)), deadline_s=60, seen=self.dev.tail)


def is_ready(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = Reader(tmp_path_factory.mktemp("reader"))
    reader.dev.start()
    try:
        wait_for("its votes are fed", lambda: "mood: " in reader.dev.output(), deadline_s=60, seen=reader.dev.tail)
        yield reader
    finally:
        reader.dev.close()
        for node in NODES:
            if left := pidfile.running(reader.folder / "data" / node):
                os.kill(left, signal.SIGKILL)


def to_run(block: Block) -> list[str]:
    return [line for line in block.lines if why_not_run(line) is None]


ALL = [block for block in blocks() if not block.is_program and to_run(block)]


@pytest.mark.parametrize(
    "block",
    [block for block in ALL if block.kind != "console" and not OF_A_STOPPED_NODE.match(block.lines[0])],
    ids=lambda block: f"{block.path.stem}: {block.lines[0][:40]}",
)
def test_a_block_of_commands(reader: Reader, block: Block) -> None:
    reader.all_nodes_are_up()
    lines = to_run(block)
    for line in (line for line in lines if ENDLESS.search(line)):
        reader.follows(reader.here(line))
    done = reader.types(reader.here("\n".join(line for line in lines if not ENDLESS.search(line))))
    assert 0 == done.returncode, f"{done.stdout}{done.stderr}"


def test_the_python_of_the_readme(reader: Reader) -> None:
    """It votes in the poll that the commands there made."""
    reader.all_nodes_are_up()
    (text,) = re.findall(r"^```python\n(.*?)^```", text_of(Path("README.md")), re.S | re.M)
    (reader.folder / "readme.py").write_text(reader.here(text))
    done = reader.types("python readme.py")
    assert 0 == done.returncode, done.stderr
    assert "'soup'" in done.stdout


def test_the_leader_is_killed_and_the_answers_look_as_they_are_shown(reader: Reader) -> None:
    """The first minutes of README.md. What a command answers has the fields that are shown there."""
    reader.all_nodes_are_up()
    (block,) = (block for block in ALL if block.kind == "console")
    lines, leader, dead = block.text.splitlines(), "", ""
    for line, shown in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("$ "):
            command = reader.here(line.removeprefix("$ "))
            if KILLING.match(command):
                command, dead = command.replace("n2", leader), reader.urls[NODES.index(leader)]
            if dead == reader.urls[0]:
                command = command.replace(dead, reader.urls[1])  # "any node that is up"
            done = reader.types(command)
            assert 0 == done.returncode, f"{command}\n{done.stdout}{done.stderr}"
            if shown.startswith("{"):
                answer = json.loads(done.stdout)
                assert fields(shown) == list(answer), line
                assert counts(shown) == [answer.get(each) for each in COUNTED]
                leader = answer["id"] if "raft" in answer else leader


def fields(shown: str) -> list[str]:
    """The names in the object that is shown, without those in objects within it."""
    return re.findall(r'"(\w+)":', re.sub(r":\{[^}]*\}", ":0", shown))


def counts(shown: str) -> list[int | None]:
    return [int(found[1]) if (found := re.search(rf'"{each}":(\d)', shown)) else None for each in COUNTED]


def test_the_log_of_a_stopped_node(reader: Reader) -> None:
    reader.dev.signal(signal.SIGINT)
    assert 0 == reader.dev.ended(), reader.dev.tail()
    for block in (block for block in ALL if OF_A_STOPPED_NODE.match(block.lines[0])):
        done = reader.types("\n".join(to_run(block)))
        assert 0 == done.returncode, f"{done.stdout}{done.stderr}"
