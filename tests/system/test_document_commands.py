"""The commands of the documents that need one cluster, run as a reader runs them: in one folder, beside the `quorate
dev` of the documents. `tests/support/documents.py` says which blocks are run elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate import pidfile
from quorate.processes.process import Process
from tests.support.documents import Block, blocks_of, text_of
from tests.support.reader import Reader
from tests.support.waiting import wait_for
from tests.system.reader_networks import NETWORK, Networks
from tests.system.test_bootstrap import first_of_free_ports

NODES = ("n1", "n2", "n3")
DEV = "quorate dev"
COUNTED = ("applied", "duplicates")
KILLING = re.compile(r"^kill -9 ")

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("curl") is None or shutil.which("openssl") is None, reason="needs curl, openssl"),
]


class ReaderOfDev(Reader):
    """With the cluster that the reader's other terminal runs."""

    def __init__(self, folder: Path, networks: Networks) -> None:
        port = first_of_free_ports()
        hosts = [f"127.0.0.1:{port + at}" for at in range(len(NODES))]
        self.urls = [f"http://{host}" for host in hosts]
        places = {f"node{number}": host for number, host in enumerate(hosts, 1)} | {"recipient": recipient()}
        self.networks = networks
        super().__init__(folder, places | networks.places(), {"QUORATE_NODES": ",".join(self.urls)})
        command = f"exec {DEV} --nodes 3 --port {port} --restart"
        self.dev = Process("dev", ["bash", "-c", command], folder / "dev.txt", self.env, folder)

    def all_nodes_are_up(self) -> None:
        """A command of before may have killed one, which `quorate dev` started again."""
        wait_for("all nodes are ready", lambda: all(map(is_ready, self.urls)), deadline_s=60, seen=self.dev.tail)


def recipient() -> str:
    """Whom `age` encrypts for, where it is installed."""
    if shutil.which("age") is None:
        return ""
    made = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True, timeout=10).stdout
    return next(line for line in made.splitlines() if line.startswith("# public key")).split()[-1]


def is_ready(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReaderOfDev]:
    with Networks() as networks:
        reader = ReaderOfDev(tmp_path_factory.mktemp("reader"), networks)
        reader.dev.start()
        try:
            wait_for("its votes are fed", lambda: "mood: " in reader.dev.output(), deadline_s=60, seen=reader.dev.tail)
            yield reader
        finally:
            end(reader)


def end(reader: ReaderOfDev) -> None:
    reader.dev.close()
    for node in NODES:
        if left := pidfile.running(reader.folder / "data" / node):
            os.kill(left, signal.SIGKILL)


ALL = [block for block in blocks_of("tests/system/test_document_commands.py") if [DEV] != block.lines]


@pytest.mark.parametrize(
    "block",
    [block for block in ALL if block.kind != "console"],
    ids=lambda block: f"{block.path.stem}: {block.lines[0][:40]}",
)
def test_a_block_of_commands(reader: ReaderOfDev, block: Block) -> None:
    reader.all_nodes_are_up()

    def counts_a_post(command: str) -> None:
        reader.networks.counts_a_post(reader, command, reader.urls[0])

    def answers_yes(command: str) -> None:
        assert "exactly what was confirmed" in reader.types(command, answers="y\n")

    reader.runs(block, {NETWORK: counts_a_post, "^quorate bench": answers_yes})


def test_the_cluster_is_the_one_that_a_document_starts() -> None:
    starting = [block for block in blocks_of("tests/system/test_document_commands.py") if [DEV] == block.lines]
    assert [Path("docs/start.md")] == [block.path for block in starting]


def test_the_python_of_the_readme(reader: ReaderOfDev) -> None:
    """It votes in the poll that the commands there made."""
    reader.all_nodes_are_up()
    (text,) = re.findall(r"^```python\n(.*?)^```", text_of(Path("README.md")), re.S | re.M)
    (reader.folder / "readme.py").write_text(reader.here(text))
    assert "'soup'" in reader.types("python readme.py")


def test_the_leader_is_killed_and_the_answers_look_as_they_are_shown(reader: ReaderOfDev) -> None:
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
            said = reader.types(command)
            if shown.startswith("{"):
                answer = json.loads(said)
                assert fields(shown) == list(answer), line
                assert counts(shown) == [answer.get(each) for each in COUNTED]
                leader = answer["id"] if "raft" in answer else leader


def fields(shown: str) -> list[str]:
    """The names in the object that is shown, without those in objects within it."""
    return re.findall(r'"(\w+)":', re.sub(r":\{[^}]*\}", ":0", shown))


def counts(shown: str) -> list[int | None]:
    return [int(found[1]) if (found := re.search(rf'"{each}":(\d)', shown)) else None for each in COUNTED]
