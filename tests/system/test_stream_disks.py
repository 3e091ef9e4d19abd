"""The folder of a stream's positions cannot be written: it goes on, says so, and counts each post once all the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from quorate.processes.stream import StreamProcess
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for
from tests.system.small_disk import CannotMount, SmallDisk

PART = 500


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), size=1) as cluster:
        yield cluster


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        disk = SmallDisk(tmp_path / "disk", 1)
    except CannotMount as why:
        pytest.skip(f"no small disk can be mounted here: {why}")
    yield disk
    disk.close()


def fill(disk: SmallDisk, state: Path) -> Callable[[], object]:
    """Returns what mends it."""
    disk.fill()
    return disk.make_room


def forbid(disk: SmallDisk, state: Path) -> Callable[[], object]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=700", "quorate-test", str(state)], check=True)
    return partial(subprocess.run, ["umount", str(state)], check=True)


@pytest.mark.parametrize(("harm", "why"), [(fill, "No space left on device"), (forbid, "Read-only file system")])
def test_a_stream_whose_positions_cannot_be_written_says_so_and_counts_each_post_once(
    harm: Callable[[SmallDisk, Path], Callable[[], object]], why: str, cluster: Cluster, disk: SmallDisk, tmp_path: Path
) -> None:
    posts, state, poll, said = tmp_path / "posts.ndjson", disk.path / "state", harm.__name__, 0

    def say() -> None:
        nonlocal said
        lines = [json.dumps({"id": f"{poll}{said + at}", "text": f"so {poll}"}) + "\n" for at in range(PART)]
        with posts.open("a") as opened:
            opened.write("".join(lines))
        said += PART

    def all_count() -> None:
        wait_for("all is counted", lambda: said == client.results(poll)["total"], deadline_s=40, seen=stream.tail)

    def position() -> dict[str, str]:
        return dict((stream.status() or {}).get("positions", {}))

    nodes = [f"--node={url}" for url in cluster.urls]
    stream = StreamProcess(["replay", str(posts), "--follow", f"--state={state}", *nodes], tmp_path / "stream.txt")
    with cluster.client() as client:
        client.create_poll(poll, [poll, "other"])
        say()
        try:
            stream.start()
            all_count()
            wait_for("the position is written", lambda: position().get("written_at"), seen=stream.tail)
            mend = harm(disk, state)
            say()
            all_count()
            told = f"{why}, in {state}"
            wait_for("it says why", lambda: told == position()["trouble"], seen=stream.tail)
            assert f"the position cannot be written: {told}; reading goes on" in stream.output()
            stream.kill()
            if harm is fill:  # a folder that is read-only is refused at the start
                stream.start()
                say()
                all_count()
            else:
                stream.start()
                assert 2 == stream.ended(40), stream.tail()
                assert f"{state} cannot be used: " in stream.output()
            mend()
            if not stream.running:
                stream.start()
            say()
            all_count()
            wait_for("nothing is wrong any more", lambda: "" == position().get("trouble"), seen=stream.tail)
            assert 0 == stream.stop(10), stream.tail()
            assert said == client.results(poll)["total"]
        finally:
            stream.close()
