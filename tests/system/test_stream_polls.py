"""The polls of `quorate stream` at three nodes: found at once, however many options they have, and by their rules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.waiting import wait_for

MANY = [f"option {number} of many" for number in range(100_000)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module", autouse=True)
def _polls(cluster: Cluster) -> None:
    with cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"])
        client.create_poll("many", MANY)
        client.create_poll("later", ["soon", "never"], state="draft")


def stream(cluster: Cluster, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "quorate", "stream", *arguments, *(f"--node={url}" for url in cluster.urls)]


def results(cluster: Cluster, poll: str) -> dict[str, int]:
    with cluster.client() as client:
        found: dict[str, int] = client.results(poll, level="linearizable")["results"]
    return found


def lines(posts: Sequence[tuple[str, str, str]]) -> bytes:
    return b"".join(json.dumps({"id": i, "text": t, "author": a}).encode() + b"\n" for i, t, a in posts)


def test_what_a_text_would_vote_for_is_shown_with_the_polls_of_the_cluster(cluster: Cluster) -> None:
    command = stream(cluster, "test", "--json", "So HAPPY, not sad, #Option7OfMany. Soon!")
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    votes = [(vote["poll"], vote["option"]) for vote in found["votes"]]
    assert [("mood", "happy"), ("mood", "sad"), ("many", "option 7 of many")] == votes
    assert (2, 100_002) == (found["polls"], found["options"])


def test_only_the_first_option_of_an_author_counts_where_the_poll_says_so(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.client() as client:
        client.create_poll("tea", ["milk", "lemon"])
    posts = [(f"p{n}", ("milk and lemon", "lemon", "milk")[n % 3], f"author {n // 3}") for n in range(300)]
    command = stream(cluster, "replay", "-", f"--state={tmp_path}", "--poll", "tea: one-per-author")
    done = subprocess.run(command, input=lines(posts), check=True, capture_output=True)
    assert {"milk": 100, "lemon": 0} == results(cluster, "tea")
    assert b"300 posts read, 300 votes confirmed, 200 of them counted before" in done.stdout
    assert b"rejected" not in done.stdout


def test_a_poll_that_is_opened_is_used_long_before_the_minute_is_over(cluster: Cluster, tmp_path: Path) -> None:
    command = stream(cluster, "replay", "-", f"--state={tmp_path}")
    with (
        (tmp_path / "said").open("wb") as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said) as process,
    ):
        assert process.stdin is not None
        process.stdin.write(lines([("q1", "happy, never soon", "")]))
        process.stdin.flush()
        wait_for("the first post counts", lambda: results(cluster, "mood")["happy"] == 1)
        with cluster.client() as client:
            client.set_poll_state("later", "open")
        wait_for("the new poll is in use", lambda: b" options are in use" in (tmp_path / "said").read_bytes())
        process.stdin.write(lines([("q2", "soon", "")]))
        process.stdin.close()
        assert 0 == process.wait(60)
    assert {"soon": 1, "never": 0} == results(cluster, "later"), "what was read before is not matched again"
