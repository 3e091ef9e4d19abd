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
from tests.doubles.social.oauth1 import OAuthAccount
from tests.doubles.social.twitter import TwitterDouble
from tests.doubles.social.wikimedia import WIKIS, WikimediaDouble
from tests.doubles.social.x import XDouble, XTerms
from tests.support.checkout import ROOT
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for

PART, KILLS = 600, 3
SECRETS = {
    "SP_MASTODON_TOKEN": "secret",
    "SP_X_KEY": XTerms().key,
    "SP_X_SECRET": XTerms().secret,
    "SP_TWITTER_KEY": OAuthAccount().key,
    "SP_TWITTER_SECRET": OAuthAccount().secret,
    "SP_TWITTER_ACCESSTOKEN": OAuthAccount().access_token,
    "SP_TWITTER_ACCESSSECRET": OAuthAccount().access_secret,
}


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


def stream(cluster: Cluster, folder: Path, *arguments: str, module: str = "quorate") -> Process:
    nodes = [f"--node={url}" for url in cluster.urls]
    command = [sys.executable, "-m", module, "stream", *arguments, *nodes, "--state", str(folder / "state")]
    return Process("stream", command, folder / "output.txt", SECRETS, cwd=ROOT)


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
    """The parts, as feeds, whose positions are on disk."""
    files = [path for path in (folder / "state").glob("*.json") if not path.name.startswith("x-budget")]
    return set(json.loads(files[0].read_text())["positions"]) if files else set()


def test_posts_of_x_count_once_through_hang_ups_and_kills(cluster: Cluster, tmp_path: Path) -> None:
    """Those that were written while it was killed are found by the search."""
    random_ = random.Random(7)
    expected: Counter[str] = Counter()
    with cluster.client() as client:
        client.create_poll("tea", ["green tea", "mint"])

    def say(x: XDouble, posts: int) -> None:
        for _ in range(posts):
            option = random_.choice(["green tea", "mint"])
            expected[option] += 1
            original = x.say(f"{random_.choice(['I like', 'so much'])} {option}, today")
            if random_.random() < 0.2:
                x.say("", reposts=original)
                expected[option] += 1
            if random_.random() < 0.05:
                x.edit(original, "green tea and mint")
            if random_.random() < 0.02:
                x.fail(random_.choice(["end", "hang_up", "reset"]))

    terms = XTerms(indexed_after_s=0, connects=1_000, questions=10_000)
    with XDouble(terms) as x:
        arguments = ["x", "--url", x.base, "--posts-per-day", "1000000"]
        reading = stream(cluster, tmp_path, *arguments, module="tests.system.quick_gaps")
        try:
            for part in range(KILLS):
                reading.start()
                wait_for("it is connected", lambda: bool(x.live), deadline_s=30, seen=reading.tail)
                wait_for("its position is kept", lambda: positions(tmp_path) == {""}, seen=reading.tail)
                say(x, 100)
                wait_for_votes(cluster, "tea", reading, 200 * part + 50)
                reading.kill()
                say(x, 100)
            reading.start()
            wait_for_votes(cluster, "tea", reading, expected.total())
            assert 0 == reading.stop(10), reading.tail()
        finally:
            reading.close()
        assert dict(expected) == results(cluster, "tea")
        assert [] == x.violations
        assert not any(secret in reading.output() for secret in SECRETS.values())


def test_twitter_gets_new_options_without_losing_a_post(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.client() as client:
        client.create_poll("colour", ["red", "dark blue"])
    with TwitterDouble() as twitter:
        reading = stream(cluster, tmp_path, "twitter", "--url", twitter.url)
        try:
            reading.start()
            wait_for("it is connected", lambda: bool(twitter.live), deadline_s=30, seen=reading.tail)
            for number in range(100):
                twitter.say(f"so RED and dark, dark blue {number}")
            with cluster.client() as client:
                client.create_poll("shape", ["round", "square"])
            wait_for("it asks for them", lambda: "round" in twitter.live[-1].track, deadline_s=30, seen=reading.tail)
            for number in range(100):
                twitter.say(f"red and round {number}")
            wait_for_votes(cluster, "shape", reading, 100)
            assert 0 == reading.stop(10), reading.tail()
        finally:
            reading.close()
        assert {"red": 200, "dark blue": 100} == results(cluster, "colour")
        assert {"round": 100, "square": 0} == results(cluster, "shape")
        assert [] == twitter.violations
