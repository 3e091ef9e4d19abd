"""All of it, as its owner deploys it: votes by two nsqds, three nodes that found each other in Consul, MongoDB behind.

Every server is real and this test's own, except that MongoDB is shared by the tests and nsqd may be the double.
"""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import PyMongoError

from tests.services.consul_agent import Agent
from tests.services.nsq.servers import DURABLE, Servers
from tests.services.script import Services
from tests.services.system.finding import command, finding_cluster
from tests.support.waiting import wait_for

OPTIONS = ["happy", "sad", "node.js", "🙂"]
CHECK_S = 60.0
VOTES = 6_000  # that flow while something is done


class Mongo:
    """A database of a test's own; its server's processes can be killed and come back."""

    def __init__(self, services: Services) -> None:
        self.services, self._killed = services, False
        self.url = services.gives()["QUORATE_TEST_MONGO_URL"]
        self.database = f"test_{uuid.uuid4().hex[:12]}"
        self._client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(self.url, timeoutMS=3_000)
        self.polls = self._client[self.database]["polls"]

    @property
    def settings(self) -> dict[str, Any]:
        """A node's."""
        return {"flush.sink": "mongo", "mongo.url": self.url, "mongo.database": self.database}

    def document(self, id: str) -> dict[str, Any] | None:
        """The document as any program finds it; None if there is none, or nobody answers."""
        try:
            return self.polls.find_one({"_id": id})
        except PyMongoError:
            return None

    def results(self, id: str = "mood") -> dict[str, int]:
        document = self.document(id)
        results: dict[str, int] = document["results"] if document else {}
        return results

    def kill(self, *names: str) -> None:
        """kill -9 of the first of these processes that this MongoDB is made of; a skip if it is made of none."""
        run = self.services.folder / "run"
        name = next((name for name in names if (run / f"{name}.pid").exists()), None)
        if name is None:
            pytest.skip(f"this MongoDB has no process of its own here: {' or '.join(names)}")
        os.kill(self.services.pid(name), signal.SIGKILL)
        self._killed = True

    def start(self) -> None:
        self.services.up("mongo")
        self._killed = False

    def close(self) -> None:
        if self._killed:
            self.start()
        self._client.drop_database(self.database)
        self._client.close()


class Deployment:
    """Made and started by `with`. Votes are published in files, by the command; each file is another one's votes."""

    def __init__(self, folder: Path, agent: Agent, servers: Servers, mongo: Mongo) -> None:
        self.folder, self.agent, self.mongo = folder, agent, mongo
        self.lookupd = servers.lookupd()
        durable = {**DURABLE, "msg_timeout": "3s", "lookupd_tcp_address": self.lookupd.tcp}
        self.nsqds = [servers.nsqd(**durable) for _ in range(2)]
        self.published: dict[str, int] = {}
        self._files = 0
        self.busy = False  # whether votes were still under way at the end of the last `publishing`
        quick = {"nsq.lookupd_poll_s": 1, "mongo.poll_refresh_s": 1}
        nsq = {"nsq.lookupd": [self.lookupd.http], "nsq.max_in_flight": 50}
        self.cluster = finding_cluster(agent, folder / "nodes", settings={**quick, **nsq, **mongo.settings})

    def __enter__(self) -> Deployment:
        self.cluster.__enter__()
        try:
            with self.cluster.client() as client:
                client.create_poll("mood", OPTIONS)
            for nsqd in self.nsqds:
                nsqd.post("/topic/create?topic=votes")
            self.wait_subscribed()
        except BaseException:
            self.cluster.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.close()

    def wait_subscribed(self) -> None:
        def all_nodes() -> bool:
            return all(nsqd.channel("votes", "counter")["client_count"] == 3 for nsqd in self.nsqds)

        wait_for("all nodes subscribe to both nsqds", all_nodes, seen=self.seen)

    # ---- votes ------------------------------------------------------------------------------------------------------

    def publish(self, count: int, *, both: bool = False) -> Path:
        """Publish so many more votes with ids, a tenth of them twice. The file, which may be published again."""
        with self.publishing(count, both=both) as file:
            return file

    @contextmanager
    def publishing(self, count: int, *, both: bool = False) -> Iterator[Path]:
        """The same, while the block runs: to the first nsqd that takes them, or to both."""
        self._files += 1
        votes = [{"option": OPTIONS[n % 7 % len(OPTIONS)], "id": f"file{self._files}-{n}"} for n in range(count)]
        for vote in votes:
            self.published[vote["option"]] = self.published.get(vote["option"], 0) + 1
        file = self.folder / f"votes{self._files}.ndjson"
        file.write_text("".join(json.dumps(vote) + "\n" for vote in votes + votes[::10]))
        with self.publishing_again(file, both=both):
            yield file

    @contextmanager
    def publishing_again(self, file: Path, *, both: bool) -> Iterator[None]:
        places = [word for nsqd in self.nsqds for word in ("--nsqd", nsqd.tcp)]
        words = ["publish", str(file), *places, *(["--both"] if both else []), "--timeout", "4"]
        with ThreadPoolExecutor(1) as aside:
            told = aside.submit(command, *words)
            yield
            self.busy = not told.done() or self.unfinished() > 0
        assert 0 == told.result().returncode, told.result().stderr

    # ---- what became of them ----------------------------------------------------------------------------------------

    def counted(self) -> int:
        shown = [node.get("/polls/mood/results?level=none") for node in self.cluster.nodes]
        return max((s["total"] for s in shown if s), default=0)

    def reach(self, least: int) -> None:
        self.cluster.wait_for(f"{least} votes are counted", lambda: self.counted() >= least, deadline_s=CHECK_S)

    def unfinished(self) -> int:
        """Messages that wait, of the nsqds that are up."""
        return sum(nsqd.unfinished("votes", "counter") for nsqd in self.nsqds if nsqd.running)

    @contextmanager
    def flowing(self, *, both: bool = False) -> Iterator[None]:
        """Do something while votes flow, after the first were counted and before the last are."""
        before = self.counted()
        with self.publishing(VOTES, both=both):
            self.reach(before + VOTES // 20)
            yield
        assert self.busy, "it was done too late to prove anything"

    def assert_exact(self) -> None:
        """Everything published is finished, and counted once: on each node, and in MongoDB."""
        wait_for("all is finished", lambda: self.unfinished() == 0, deadline_s=CHECK_S, seen=self.seen)
        wait_for("all nodes show the exact tally", self.is_exact, deadline_s=CHECK_S, seen=self.seen)
        wait_for("MongoDB shows it", lambda: self.published == self.mongo.results(), deadline_s=CHECK_S, seen=self.seen)

    def is_exact(self) -> bool:
        shown = self.cluster.results("mood")
        return shown is not None and self.published == shown["results"]

    def seen(self) -> str:
        shown = [node.get("/polls/mood/results?level=none") for node in self.cluster.nodes]
        return f"published {self.published}\nnodes {shown}\nMongoDB {self.mongo.results()}\n{self.cluster.seen()}"
