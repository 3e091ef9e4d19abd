"""What people put into MongoDB by hand, and find there, through real nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quorate.vote import Vote
from tests.services.system.deployment import Deployment, Mongo
from tests.services.system.finding import command
from tests.support.cluster import Cluster
from tests.support.waiting import wait_for

ODD = ["node.js", "$cash", "a.b.$c", "🙂", "é" * 100, "."]  # the fifth is 200 bytes long

pytestmark = pytest.mark.timeout(180)


def flush_of(cluster: Cluster) -> dict[str, Any]:
    shown: dict[str, Any] = (cluster.leader().get("/status") or {"flush": {}})["flush"]
    return shown


def cast(cluster: Cluster, name: str, *options: str, poll: str | None = None) -> None:
    with cluster.client() as client:
        tallied = client.cast([Vote(option, id=f"{name}-{n}", poll=poll) for n, option in enumerate(options)])
        assert len(options) == tallied.applied, tallied


def test_options_of_any_kind_survive_the_way_from_nsq_to_mongodb_and_back(deployment: Deployment) -> None:
    cluster, mongo = deployment.cluster, deployment.mongo
    with cluster.client() as client:
        client.create_poll("odd", ODD)
    file = deployment.folder / "odd.ndjson"
    lines = [json.dumps({"option": option, "poll": "odd"}) for n, option in enumerate(ODD) for _ in range(n + 1)]
    file.write_text("\n".join(lines) + "\n")
    with deployment.publishing_again(file, both=True):
        expected = {option: n + 1 for n, option in enumerate(ODD)}
    wait_for("it is there", lambda: expected == mongo.results("odd"), seen=deployment.seen)
    document = mongo.document("odd")
    assert document is not None
    assert (ODD, ODD) == (document["options"], list(document["results"])), "in the poll's own order"

    mongo.polls.insert_one({"_id": "back", "options": document["options"], "results": document["results"]})
    cluster.wait_for("it is imported", lambda: cluster.results("back"), deadline_s=30)
    cast(cluster, "back", *ODD, poll="back")
    more = {option: count + 1 for option, count in expected.items()}
    wait_for("all nodes have it", lambda: more == (cluster.results("back") or {}).get("results"), seen=deployment.seen)
    wait_for("and MongoDB", lambda: more == mongo.results("back"), seen=deployment.seen)


def test_polls_put_there_by_hand_are_counted_and_deleted_ones_stay_deleted(mongo: Mongo, tmp_path: Path) -> None:
    mongo.polls.insert_one({"_id": "early", "options": ["left", "right"]})
    with Cluster(tmp_path, settings={**mongo.settings, "mongo.poll_refresh_s": 1}) as cluster:
        mongo.polls.insert_one({"_id": "tea", "title": "Tea?", "options": ["black", "$green"], "owner": "ann"})
        mongo.polls.insert_one({"_id": "mood", "options": ["happy", "sad"], "results": {"happy": 5, "sad": 2.0}})
        mongo.polls.insert_one({"_id": "nonsense", "options": "happy"})
        cluster.wait_for("they are imported", lambda: all(map(cluster.results, ("early", "tea", "mood"))))
        cast(cluster, "first", "left", "$green", "$green", "happy", "sad")
        cluster.wait_for("early is flushed", lambda: {"left": 1, "right": 0} == mongo.results("early"))
        cluster.wait_for("so is tea", lambda: {"black": 0, "$green": 2} == mongo.results("tea"))
        cluster.wait_for("so is mood", lambda: {"happy": 6, "sad": 3} == mongo.results("mood"))
        tea, nonsense = mongo.document("tea"), mongo.document("nonsense")
        assert tea is not None
        assert ("ann", "Tea?") == (tea["owner"], tea["title"])
        assert {"_id": "nonsense", "options": "happy"} == nonsense
        cluster.wait_for("it is named", lambda: ["nonsense"] == list(flush_of(cluster)["import"]["problems"]))

        mongo.polls.delete_one({"_id": "tea"})
        cast(cluster, "second", "black", "happy")
        victim = cluster.leader()
        victim.kill()
        successor = cluster.leader(other_than=victim)  # it writes every poll once
        cast(cluster, "third", "black", "happy")
        cluster.wait_for("mood is flushed", lambda: {"happy": 8, "sad": 3} == mongo.results("mood"))
        cluster.wait_for("the successor is in step", lambda: successor.ask("GET", "/readyz?sync")[0] == 200)
        assert None is mongo.document("tea")
        victim.start()
        shown = cluster.wait_for("all have the votes all the same", lambda: cluster.results("tea"))
        assert {"black": 2, "$green": 2} == shown["results"]


def test_a_fresh_cluster_leaves_an_old_one_s_tallies_alone_until_it_is_told_to_adopt(
    mongo: Mongo, tmp_path: Path
) -> None:
    with Cluster(tmp_path / "old", settings=mongo.settings) as old:
        with old.client() as client:
            client.create_poll("mood", ["happy", "sad"])
            client.create_poll("kept", ["left", "right"])
        cast(old, "old", "happy", "happy", "left")
        old.wait_for("it is flushed", lambda: {"happy": 2, "sad": 0} == mongo.results())
        old.wait_for("and this", lambda: {"left": 1, "right": 0} == mongo.results("kept"))

    with Cluster(tmp_path / "fresh", settings=mongo.settings) as fresh:
        with fresh.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        cast(fresh, "fresh", "sad")
        fresh.wait_for("it stops", lambda: flush_of(fresh)["phase"] == "foreign")
        leader = fresh.leader()
        status, body, _ = leader.ask("GET", "/readyz?sync&verbose")
        assert 503 == status
        assert "`quorate sink adopt` takes them over" in body.decode()
        assert {"happy": 2, "sad": 0} == mongo.results()

        adopted = command("sink", "adopt", "--yes", "--node", leader.url)
        assert 0 == adopted.returncode, adopted.stderr
        fresh.wait_for("it takes over", lambda: {"happy": 0, "sad": 1} == mongo.results())
        assert {"left": 1, "right": 0} == mongo.results("kept"), "what it does not have keeps what it holds"
        fresh.wait_for("it is in step", lambda: leader.ask("GET", "/readyz?sync")[0] == 200)
