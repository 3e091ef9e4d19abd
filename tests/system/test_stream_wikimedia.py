"""`quorate stream wikimedia` at three nodes: the server hangs up at random, and the command is killed three times."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

from quorate.processes.process import Process
from tests.doubles.social.wikimedia import WIKIS, WikimediaDouble
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for

PART, KILLS = 1_000, 3


def total(cluster: Cluster) -> int:
    with cluster.client() as client:
        return int(client.results("wikis", level="linearizable")["total"])


def wait_for_votes(cluster: Cluster, stream: Process, votes: int) -> None:
    wait_for(f"{votes:,} votes are counted", lambda: total(cluster) >= votes, deadline_s=60, seen=stream.tail)


def expected(double: WikimediaDouble) -> Counter[str]:
    changes = [json.loads(record.value) for record in double.log.records]
    return Counter(change["wiki"] for change in changes if change["meta"]["domain"] != "canary")


def test_each_change_counts_once_through_hang_ups_and_kills(tmp_path: Path) -> None:
    random_ = random.Random(5)
    with Cluster(tmp_path / "cluster") as cluster, WikimediaDouble(cut=lambda: random_.randint(0, 200_000)) as double:
        with cluster.client() as client:
            client.create_poll("wikis", WIKIS)
        nodes = [f"--node={url}" for url in cluster.urls]
        arguments = ["stream", "wikimedia", "--url", double.url, "--contact", "https://example.org", *nodes]
        arguments += ["--from", "2020-01-01", "--state", str(tmp_path / "state")]
        for part in range(KILLS + 1):
            double.publish_many(PART, seed=part, start_ms=1_795_000_000_000 + part * 10_000_000)
            stream = Process("stream", [sys.executable, "-m", "quorate", *arguments], tmp_path / f"output{part}.txt")
            is_last = part == KILLS
            stream.start()
            try:
                wait_for_votes(cluster, stream, PART * part + (PART if is_last else PART // 2))
                if is_last:
                    assert 0 == stream.stop(10), stream.tail()
                else:
                    stream.kill()
            finally:
                stream.close()
        with cluster.client() as client:
            assert dict(expected(double)) == client.results("wikis", level="linearizable")["results"]
        assert [] == double.violations
