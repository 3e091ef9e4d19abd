"""What the documents tell an operator to do with nodes: change members, go on from one survivor, restore a backup, look
into the log of a stopped node. Each step begins as its document says: with a node that is new, emptied, moved or lost.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate import exit_code
from quorate.client.http import JsonClient
from quorate.processes.node import NodeProcess, Place
from quorate.processes.ports import free_ports
from quorate.vote import Vote
from tests.support import data_folder
from tests.support.cluster import Cluster
from tests.support.documents import Block, blocks_of
from tests.support.reader import Reader

OPTIONS = ["happy", "sad"]

pytestmark = pytest.mark.timeout(240)


def block_with(words: str) -> Block:
    (block,) = (
        block for block in blocks_of("tests/system/test_document_operators.py") if any(words in x for x in block.lines)
    )
    return block


def test_every_block_has_its_test() -> None:
    known = {block_with(words).text for words in ("members add n4", "quorate restore", "log verify")}
    assert known == {block.text for block in blocks_of("tests/system/test_document_operators.py")}


def reader_of(cluster: Cluster, **places: str) -> Reader:
    return Reader(cluster.folder, places, {"QUORATE_NODES": ",".join(cluster.urls)})


def voters(asked: NodeProcess) -> set[str]:
    """By the node's own log; none if it does not answer."""
    try:
        status, body, _ = asked.ask("GET", "/members")
    except OSError:
        return set()
    return {member["id"] for member in json.loads(body)["members"] if member["voter"]} if status == 200 else set()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", OPTIONS)
        cluster.cast("before", 10)
        yield cluster


def is_alive(node: NodeProcess) -> bool:
    with contextlib.suppress(OSError):
        return node.ask("GET", "/livez")[0] == 200
    return False


def newcomer(cluster: Cluster) -> NodeProcess:
    http, raft = free_ports(2)
    model = cluster["n1"].settings
    settings = {"raft.peers": [*model["raft.peers"], f"n4=127.0.0.1:{raft}"], "sqlite.path": model["sqlite.path"]}
    place = Place.local("n4", cluster.folder / "n4", http, raft)
    node = NodeProcess(place, {**settings, "raft.bootstrap": False})
    cluster.nodes.append(node)
    return node


def test_members_come_are_replaced_move_and_leave_and_one_survivor_goes_on(cluster: Cluster) -> None:
    n1, n2, n3, n4 = *cluster.nodes, newcomer(cluster)
    (moved,) = free_ports(1)
    reader = reader_of(cluster, n4_raft=str(n4.place.raft), moved_raft=f"127.0.0.1:{moved}", config=str(n1.config))

    def wait_for_voters(*ids: str) -> None:
        cluster.wait_for(f"the voters are {ids}", lambda: voters(n1) == set(ids))

    def add(command: str) -> None:
        n4.start()
        reader.types(command)
        wait_for_voters("n1", "n2", "n3", "n4")

    def replace(command: str) -> None:
        n2.kill()
        data_folder.empty(n2.folder)
        n2.start()
        cluster.wait_for("n2 has copies", lambda: (n2.get("/status") or {}).get("version"))
        reader.types(command)
        wait_for_voters("n1", "n2", "n3", "n4")

    def update(command: str) -> None:
        n2.kill()
        n2.settings["raft.listen"] = f"127.0.0.1:{moved}"
        n2.start()
        reader.types(command)
        n2.wait_ready()

    def remove(command: str) -> None:
        reader.types(command)
        cluster.wait_for("n3 stopped", lambda: not n3.running)
        assert exit_code.REMOVED == n3.exit_status, n3.tail()
        wait_for_voters("n1", "n2", "n4")

    def recover(command: str) -> None:
        for node in cluster.nodes:
            node.close()
        reader.types(command)
        n1.start()
        n1.wait_ready()
        assert {"n1"} == voters(n1)

    ways = {"members add": add, "members replace": replace, "members update": update, "members remove": remove}
    reader.runs(block_with("members add n4"), {**ways, "^quorate recover": recover})
    cluster.cast("after", 10)
    assert {"happy": 20, "sad": 0} == n1.get("/polls/mood/results")["results"]


def test_a_backup_becomes_a_new_cluster(cluster: Cluster) -> None:
    n1, n2, _ = cluster.nodes
    reader = reader_of(cluster, node1=str(n1.place.http), n2_raft=str(n2.place.raft))
    reader.types(f"quorate backup votes.backup --node {n1.url}")
    cluster.wait_for("the sink has it", lambda: cluster.in_sqlite("mood") == {"happy": 10, "sad": 0})
    for node in cluster.nodes:
        node.close()
        shutil.rmtree(node.folder)
        node.folder.mkdir()
        node.write_config()

    with contextlib.ExitStack() as stack:

        def restore(command: str) -> None:
            assert "quorate sink adopt" in reader.types(command, answers="y\n")

        def begin(command: str) -> None:
            stack.enter_context(reader.begins(command))
            asked = n1 if "n1/" in command else n2
            cluster.wait_for(f"{asked.id} answers", lambda: is_alive(asked))

        def add(command: str) -> None:
            reader.types(command)
            cluster.wait_for("n2 votes", lambda: voters(n1) == {"n1", "n2"})

        def adopt(command: str) -> None:
            with JsonClient([n1.url]) as client:
                client.vote(Vote("sad", id="after"))
            reader.types(command, answers="y\n")
            cluster.wait_for("the sink follows", lambda: cluster.in_sqlite("mood") == {"happy": 10, "sad": 1})

        ways = {"^quorate restore": restore, "^quorate node": begin, "members add": add, "sink adopt": adopt}
        reader.runs(block_with("quorate restore"), ways)


def test_the_log_of_a_stopped_node_is_read(tmp_path: Path) -> None:
    with Cluster(tmp_path / "data", 1) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", OPTIONS)
        cluster.cast("before", 10)
        assert 0 == cluster["n1"].stop()
        Reader(tmp_path, {}).runs(block_with("log verify"))
