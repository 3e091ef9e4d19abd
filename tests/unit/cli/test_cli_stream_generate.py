"""`quorate stream generate`: posts for the options of the cluster or of the command line, and how they should count."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from quorate.processes.process import Process
from tests.support.http_node import Node
from tests.support.waiting import wait_for
from tests.unit.cli.told import Capture, Told

OPTIONS = ["--option=happy", "--option=sad"]


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_posts_come_on_standard_output_and_what_they_are_on_the_other(capsys: Capture) -> None:
    told = Told(capsys, "stream", "generate", "--posts=200", "--seed=7", *OPTIONS)
    posts = lines_of(told.out)
    assert (0, 200) == (told.code, len(posts))
    assert all(post["synthetic"] for post in posts)
    assert told.err.startswith("200 synthetic lines with seed 7 (")
    assert told.out == Told(capsys, "stream", "generate", "--posts=200", "--seed=7", *OPTIONS).out
    assert told.out != Told(capsys, "stream", "generate", "--posts=200", "--seed=8", *OPTIONS).out


def test_what_the_truth_says_is_what_is_counted(capsys: Capture, node: Node, tmp_path: Path) -> None:
    posts, truth = tmp_path / "posts.ndjson", tmp_path / "truth.json"
    assert 0 == Told(capsys, "stream", "generate", "--posts=3000", f"--out={posts}", f"--truth={truth}").code
    said = json.loads(truth.read_text())
    told = Told(capsys, "stream", "replay", str(posts), f"--state={tmp_path / 'state'}", "--to=cluster")
    assert 0 == told.code, told.err
    assert said["votes"]["mood"] == node.tally()
    assert said["total"] == sum(node.tally().values()) > 1_000
    assert (
        f"{said['kinds']['post'] + said['kinds']['repost'] + said['kinds']['repeat']:,} posts of them synthetic"
        in told.out
    )


def test_options_without_any_that_can_be_planted_are_refused(capsys: Capture) -> None:
    told = Told(capsys, "stream", "generate", "--option=$")
    assert (1, "") == (told.code, told.out)
    assert "no option that a made-up post could mention without doubt" in told.err


def test_live_posts_go_on_until_a_signal_and_the_truth_is_of_what_was_written(tmp_path: Path) -> None:
    posts, truth = tmp_path / "posts.ndjson", tmp_path / "truth.json"
    command = [sys.executable, "-m", "quorate", "stream", "generate", "--live", "--posts=0", "--rate=200", *OPTIONS]
    process = Process("generate", [*command, f"--out={posts}", f"--truth={truth}"], tmp_path / "output.txt")
    process.start()
    try:
        wait_for(
            "posts are written", lambda: posts.exists() and posts.read_bytes().count(b"\n") > 50, seen=process.tail
        )
        process.signal(signal.SIGINT)
        assert 0 == process.ended(10), process.tail()
    finally:
        process.close()
    assert json.loads(truth.read_text())["lines"] == len(lines_of(posts.read_text()))


def test_a_reader_that_ends_is_no_failure(tmp_path: Path) -> None:
    command = f"{sys.executable} -m quorate stream generate --posts 0 --option happy | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60)
    assert 1 == len(done.stdout.splitlines())
    assert "Traceback" not in done.stderr
