"""Backups of a real cluster under load: whole, of one version, also when the node that sends one is killed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from quorate.backup.envelope import BackupCheck, CheckedBackup
from quorate.backup.reading import read_backup
from quorate.backup.s3_store import S3Store
from quorate.cli import main
from quorate.client.asking import NodeUrls
from quorate.client.downloads import Downloader, OpenedAnswer
from quorate.config import to_toml
from quorate.processes.node import NodeProcess
from quorate.vote import Vote
from tests.support.cluster import Cluster

BATCH = 500
BIG_POLLS, OPTIONS, NAME_BYTES = 5, 16_000, 240  # in all more than the sockets take


@contextmanager
def load(cluster: Cluster) -> Iterator[dict[int, int]]:
    """Votes without a pause. Gives how many each version counted, as far as it was acknowledged."""
    counted: dict[int, int] = {}
    ends = threading.Event()

    def cast() -> None:
        with cluster.client() as client:
            while not ends.is_set():
                told = client.cast([Vote("happy") for _ in range(BATCH)])
                with lock:
                    counted[told.version] = counted.get(told.version, 0) + told.applied

    lock = threading.Lock()
    threads = [threading.Thread(target=cast) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield counted
    finally:
        ends.set()
        for thread in threads:
            thread.join(30)


def test_a_backup_under_load_is_exactly_the_state_at_its_version(cluster: Cluster, tmp_path: Path) -> None:
    """Each node's, against what clients were told of each version; and its digest against another node's."""
    before = {}
    with load(cluster) as counted:
        for node in cluster.nodes:
            now = len(counted)
            cluster.wait_for("votes are counted", partial(has_grown, counted, now))
            before[node.id] = max(counted)
            assert 0 == main(["backup", str(tmp_path / f"{node.id}.backup"), "--node", node.url])
    for node in cluster.nodes:
        checked, state = read_backup(tmp_path / f"{node.id}.backup")
        version = checked.head.version
        assert before[node.id] <= version, "it lacks votes that were acknowledged before"
        results = state.results("mood")
        assert results is not None
        assert sum(votes for at, votes in counted.items() if at <= version) == results["happy"]
        assert sum(votes for at, votes in counted.items() if at <= version) == checked.head.ids
    first, other = cluster.nodes[0], cluster.nodes[1]
    assert 0 == main(["backup", str(tmp_path / "quiet"), "--node", first.url])
    quiet, state = read_backup(tmp_path / "quiet")
    digest = cluster.wait_for("the other has it", partial(digest_at, other, quiet.head.version))
    assert digest == quiet.digest == state.digest()


def has_grown(counted: dict[int, int], since: int) -> bool | None:
    return len(counted) > since + 3 or None


def digest_at(node: NodeProcess, version: int) -> str | None:
    told = node.get("/digest")
    return str(told["digest"]) if told and told["version"] == version else None


def test_another_node_gives_it_when_the_leader_is_killed_in_the_middle(cluster: Cluster) -> None:
    with cluster.client() as client:
        for poll in range(BIG_POLLS):
            client.create_poll(f"big-{poll}", [f"{poll}-{n}".ljust(NAME_BYTES, "x") for n in range(OPTIONS)])
        version = client.vote(Vote("happy")).version
    leader = cluster.leader()
    asked: list[str] = []

    def save(answer: OpenedAnswer) -> CheckedBackup:
        check = BackupCheck("the answer")
        asked.append(answer.node)
        for piece in answer.pieces():
            check.add(piece)
            if leader.running:
                leader.kill()
        return check.finish()

    urls = [leader.url, *(node.url for node in cluster.followers())]
    found = Downloader(NodeUrls(urls), timeout_s=30).read("/backup", {}, save, anew=True)
    assert leader.url == asked[0]
    assert leader.url != asked[-1]
    assert version <= found.head.version
    assert BIG_POLLS + 1 == found.head.polls


def test_the_leader_takes_them_by_a_schedule_and_the_next_leader_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    settings = {"backup.schedule": "0 3 1 1 *", "backup.to": str(folder)}
    with Cluster(tmp_path / "nodes", settings=settings) as cluster:
        first = cluster.wait_for("the first is taken", partial(last_backup, cluster.leader()))
        assert [first] == os.listdir(folder)
        assert read_backup(folder / first)[0].head.cluster_id in first
        assert not any(node.get("/status")["backups"]["leads"] for node in cluster.followers())
        (before := cluster.leader()).kill()
        leader = cluster.leader(other_than=before)
        assert first == cluster.wait_for("it knows what there is", partial(last_backup, leader))
        assert [first] == os.listdir(folder)


def test_a_node_puts_them_into_a_store_of_s3_and_keeps_the_keys_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI-secret"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        store = S3Store("s3://votes/x", endpoint, tmp_path)
        settings = {"backup.schedule": "0 3 1 1 *", "backup.to": store.where, "backup.s3_endpoint": endpoint}
        with Cluster(tmp_path / "nodes", 1, {**settings, "log.level": "debug"}, env=keys) as cluster:
            [node] = cluster.nodes
            cluster.wait_for("the failure is told", partial(why_no_backup, node))
            assert "there is no bucket 'votes'" in (why_no_backup(node) or "")
            store._client.create_bucket(Bucket="votes")
            cluster.leader().kill()
            node.start()
            last = cluster.wait_for("the first is taken", partial(last_backup, node))
            assert [last] == store.names()
            (tmp_path / "x").write_bytes(store._client.get_object(Bucket="votes", Key=f"x/{last}")["Body"].read())
            assert read_backup(tmp_path / "x")[0].head.cluster_id in last
            told = node.log.read_text() + json.dumps(node.get("/status"))
            assert keys["AWS_SECRET_ACCESS_KEY"] not in told
            assert "Signature=" not in told
            given = {"node.id": "n1", "node.data": str(tmp_path / "new"), "backup.s3_endpoint": endpoint}
            (file := tmp_path / "new.toml").write_text(to_toml({**given, "backup.to": store.where}))
            assert 0 == main(["restore", f"{store.where}/{last}", "--config", str(file), "--yes"])
    finally:
        server.stop()


def why_no_backup(node: NodeProcess) -> str | None:
    status = node.get("/status")
    return status["backups"]["last_error"] if status else None


def last_backup(node: NodeProcess) -> str | None:
    status = node.get("/status")
    return status["backups"]["last"] if status else None
