"""The commands of `docs/nsq.md`, and what else the documents do with NSQ and MongoDB: votes that are published count,
and polls that are put into the database are found. Beside real servers, or the double of nsqd.

Where NSQ's `to_nsq` is not installed, a script publishes by HTTP instead. What `mongosh` would do, a driver does.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.nsq.servers import Kind, Server, servers_of
from tests.services.script import Services
from tests.services.system.deployment import Mongo
from tests.support.cluster import Cluster
from tests.support.documents import Block, blocks_of
from tests.support.reader import By, Reader
from tests.support.waiting import wait_for

TO_NSQ = """#!/bin/sh
[ "$2" = --nsqd-tcp-address={nsqd.tcp} ] || exit 1
while read -r line; do curl -sSf -d "$line" "http://{nsqd.http}/pub?topic=${{1#--topic=}}"; done
"""
BLOCKS = blocks_of("tests/services/system/test_document_queues.py")

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl"),
]


class ReaderWithQueues(Reader):
    def __init__(self, cluster: Cluster, folder: Path, nsqds: list[Server], lookupd: Server, mongo: Mongo) -> None:
        self.cluster, self.nsqds = cluster, nsqds
        places = {"node1": str(cluster["n1"].place.http)}
        places |= {f"nsqd{number}": nsqd.tcp for number, nsqd in enumerate(nsqds, 1)}
        places |= {"nsqd1_http": nsqds[0].http, "lookupd": lookupd.http, "database": mongo.database}
        by_env = {"QUORATE_MONGO_URL": mongo.url, "QUORATE_MONGO_DATABASE": mongo.database}
        super().__init__(folder, places, {"QUORATE_NODES": ",".join(cluster.urls), **by_env})
        self._mongo = mongo
        if shutil.which("to_nsq") is None:
            script = folder / "bin" / "to_nsq"
            script.parent.mkdir()
            script.write_text(TO_NSQ.format(nsqd=nsqds[0]))
            script.chmod(0o700)
        (folder / "votes.txt").write_text("happy\nsad\n")

    def follows_the_document(self, words: str, by: By | None = None) -> None:
        """Run the block that has the words."""
        self.runs(block_with(words), {"^mongosh ": self._tells_mongo, **(by or {})})

    def _tells_mongo(self, command: str) -> None:
        name, database, flag, script = shlex.split(command)
        assert ("mongosh", self._mongo.database, "--eval") == (name, database, flag)
        found = re.fullmatch(r"db\.polls\.(\w+)\((.*)\)", script)
        assert found is not None, script
        method = {"insertOne": "insert_one", "updateOne": "update_one"}[found[1]]
        getattr(self._mongo.polls, method)(
            *json.loads("[" + re.sub(r"([$\w]+): ", r'"\1": ', found[2]) + "]")
        )  # JavaScript quotes no names

    def results(self, poll: str) -> dict[str, int]:
        shown = self.cluster.results(poll)
        return dict(shown["results"]) if shown else {}

    def counts(self, poll: str, **expected: int) -> None:
        self.cluster.wait_for(f"{poll} has {expected}", lambda: self.results(poll) == expected)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, mongo_services: Services) -> Iterator[ReaderWithQueues]:
    kind: Kind = "nsqd" if shutil.which("nsqd") and shutil.which("nsqlookupd") else "double"
    folder, mongo = tmp_path_factory.mktemp("reader"), Mongo(mongo_services)
    try:
        with servers_of(kind, folder / "nsq") as servers:
            lookupd = servers.lookupd()
            nsqds = [servers.nsqd(lookupd_tcp_address=lookupd.tcp) for _ in range(2)]
            settings = {"nsq.lookupd": [lookupd.http], "nsq.lookupd_poll_s": 1, **mongo.settings}
            with Cluster(folder / "nodes", 1, settings) as cluster:
                with cluster.client() as client:
                    client.create_poll("mood", ["happy", "sad"])
                yield ReaderWithQueues(cluster, folder, nsqds, lookupd, mongo)
    finally:
        mongo.close()


def block_with(words: str) -> Block:
    (block,) = (block for block in BLOCKS if any(words in line for line in block.lines))
    return block


def test_every_block_has_its_test() -> None:
    known = ["votes.txt --nsqd", "--both", "dead-letters", "insertOne", "$push", "votes.example", "one_per"]
    if shutil.which("nsq_to_file"):
        known.append("nsq_to_file")
    assert {block_with(words).text for words in known} == {block.text for block in BLOCKS}


def test_votes_that_are_published_are_counted(reader: ReaderWithQueues) -> None:
    reader.follows_the_document("votes.txt --nsqd")
    reader.counts("mood", happy=3, sad=1)


def test_votes_that_are_published_to_two_nsqds_count_once(reader: ReaderWithQueues) -> None:
    (reader.folder / "votes.txt").write_text("sad\nsad\n")
    reader.follows_the_document("--both")
    reader.counts("mood", happy=3, sad=3)
    wait_for("both are empty", lambda: not any(nsqd.unfinished("votes", "counter") for nsqd in reader.nsqds))
    reader.counts("mood", happy=3, sad=3)


def test_dead_letters_are_replayed_when_their_poll_is_open_again(reader: ReaderWithQueues) -> None:
    nsqd = reader.nsqds[0]
    with reader.cluster.client() as client:
        client.create_poll("shut", ["yes", "no"])
        client.set_poll_state("shut", "closed")
        nsqd.publish("votes", b'{"option":"yes","poll":"shut","id":"late"}')
        wait_for("it is a dead letter", lambda: nsqd.unfinished("votes_dead", "replay") == 1)
        client.set_poll_state("shut", "open")

    def lists(command: str) -> None:
        assert "closed" in reader.types(command)

    reader.follows_the_document("dead-letters", {"dead-letters list": lists})
    reader.counts("shut", yes=1, no=0)


def test_a_poll_in_the_database_and_its_votes_at_once(reader: ReaderWithQueues) -> None:
    reader.follows_the_document("insertOne")
    reader.counts("tea", milk=1, lemon=0)
    reader.follows_the_document("$push")
    reader.counts("tea", milk=1, lemon=0, honey=1)


def test_a_post_counts_once_by_all_ways(reader: ReaderWithQueues) -> None:
    reader.follows_the_document("votes.example")
    reader.counts("mood", happy=4, sad=3)


def test_a_document_says_how_posts_vote(reader: ReaderWithQueues) -> None:
    reader.follows_the_document("one_per")
    told = reader.types("quorate stream test 'so happy' --options-from mongo --json")
    assert [{"poll": "mood", "option": "happy", "one_per": "author"}] == json.loads(told)["votes"]


@pytest.mark.skipif(shutil.which("nsq_to_file") is None, reason="needs nsq_to_file of NSQ")
def test_a_second_channel_keeps_every_vote(reader: ReaderWithQueues) -> None:
    def kept() -> bool:
        reader.nsqds[0].publish("votes", b"happy")
        return any(b"happy" in path.read_bytes() for path in reader.folder.glob("archive/*"))

    def keeps(command: str) -> None:
        reader.follows(command, kept)

    reader.follows_the_document("nsq_to_file", {"^nsq_to_file": keeps})
