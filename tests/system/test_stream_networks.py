"""`quorate stream` at three nodes, and networks that break off at random: exact to the vote, also when it is killed."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.processes.process import Process
from tests.doubles.social.mastodon import MastodonDouble
from tests.doubles.social.wikimedia import WIKIS, WikimediaDouble
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for

PART, KILLS = 600, 3


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def results(cluster: Cluster, poll: str) -> dict[str, int]:
    with cluster.client() as client:
        found: dict[str, int] = client.results(poll, level="linearizable")["results"]
        return found


def wait_for_votes(cluster: Cluster, poll: str, stream: Process, votes: int) -> None:
    reached = f"{votes:,} votes are counted"
    wait_for(reached, lambda: sum(results(cluster, poll).values()) >= votes, deadline_s=60, seen=stream.tail)


def stream(cluster: Cluster, folder: Path, *arguments: str) -> Process:
    nodes = [f"--node={url}" for url in cluster.urls]
    command = [sys.executable, "-m", "quorate", "stream", *arguments, *nodes, "--state", str(folder / "state")]
    return Process("stream", command, folder / "output.txt", {"SP_MASTODON_TOKEN": "secret"})


def changes_by_wiki(double: WikimediaDouble) -> Counter[str]:
    changes = [json.loads(record.value) for record in double.log.records]
    return Counter(change["wiki"] for change in changes if change["meta"]["domain"] != "canary")


def test_each_change_of_wikimedia_counts_once_through_hang_ups_and_kills(cluster: Cluster, tmp_path: Path) -> None:
    random_ = random.Random(5)
    with cluster.client() as client:
        client.create_poll("wikis", WIKIS)
    with WikimediaDouble(cut=lambda: random_.randint(0, 200_000)) as double:
        arguments = ["wikimedia", "--url", double.url, "--contact", "https://example.org", "--from", "2020-01-01"]
        reading = stream(cluster, tmp_path, *arguments)
        for part in range(KILLS + 1):
            double.publish_many(PART, seed=part, start_ms=1_795_000_000_000 + part * 10_000_000)
            is_last = part == KILLS
            reading.start()
            try:
                wait_for_votes(cluster, "wikis", reading, PART * part + (PART if is_last else PART // 2))
                if is_last:
                    assert 0 == reading.stop(10), reading.tail()
                else:
                    reading.kill()
            finally:
                reading.close()
        assert dict(changes_by_wiki(double)) == results(cluster, "wikis")
        assert [] == double.violations


def test_posts_of_mastodon_count_once_through_hang_ups_and_kills(cluster: Cluster, tmp_path: Path) -> None:
    """Those that were posted while it was killed are read from the timelines."""
    random_ = random.Random(6)
    with cluster.client() as client:
        client.create_poll("mood", ["happy", "sad"])
    with MastodonDouble(cut=lambda: random_.randint(0, 100_000)) as double:
        reading = stream(cluster, tmp_path, "mastodon", "--url", double.base)
        try:
            for part in range(KILLS):
                reading.start()
                wait_for("it reads both feeds", lambda: positions(tmp_path) >= {"#happy", "#sad"}, seen=reading.tail)
                double.post_many(100, part, "happy", "sad")
                wait_for_votes(cluster, "mood", reading, 200 * part + 50)
                reading.kill()
                double.post_many(100, part + 100, "happy", "sad")
            reading.start()
            wait_for_votes(cluster, "mood", reading, 200 * KILLS)
            assert 0 == reading.stop(10), reading.tail()
        finally:
            reading.close()
        by_tag = Counter(tag["name"] for status in double.statuses for tag in status["tags"])
        assert dict(by_tag) == results(cluster, "mood")


def positions(folder: Path) -> set[str]:
    """The feeds whose positions are on disk."""
    files = list((folder / "state").glob("*.json"))
    return set(json.loads(files[0].read_text())["positions"]) if files else set()
