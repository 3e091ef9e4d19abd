"""Nodes that know only Consul agree on exactly one set of members, whatever order and however slowly they come."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
import requests

from quorate.cluster.discovery.formation import AgreedMembers, Formation, _Candidacy, discover
from quorate.cluster.discovery.registration import Registration, ServiceIdentity
from quorate.config import Consul
from quorate.errors import ConfigError
from tests.services.consul_agent import Agent, running_agent
from tests.support.waiting import wait_for

ROUNDS = 20


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("consul")) as agent:
        yield agent


@pytest.fixture
def pool() -> Iterator[Candidates]:
    candidates = Candidates()
    yield candidates
    candidates.end()


class Candidates:
    """Nodes that search for each other, each on a thread of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(8)
        self._stops: list[threading.Event] = []

    def enter(
        self, agent: Agent, cluster: str, id: str, expect: int, *, raft: str = "", delay_s: float = 0
    ) -> Future[Formation | None]:
        stop = threading.Event()
        self._stops.append(stop)
        settings = Consul(address=agent.address, timeout_ms=1_000)

        def run() -> Formation | None:
            stop.wait(delay_s)
            return discover(settings, cluster, id, raft or address(id), expect, stop=stop)

        return self._threads.submit(run)

    def leave(self, number: int) -> None:
        self._stops[number].set()

    def end(self) -> None:
        for stop in self._stops:
            stop.set()
        self._threads.shutdown()


def address(id: str) -> str:
    return f"10.0.0.{id[1:]}:9001"


def members(*ids: str) -> list[tuple[str, str]]:
    return [(id, address(id)) for id in ids]


def keys(agent: Agent, cluster: str) -> list[str]:
    """What stands in Consul for this cluster."""
    return [key for key in agent.call("GET", "/v1/kv/?keys=1") if key.startswith(f"quorate/{cluster}/")]


def holder(agent: Agent, path: str) -> str | None:
    """The session that holds a key; None if there is no such key."""
    answer = requests.get(f"http://{agent.address}{path}", timeout=10)
    return answer.json()[0].get("Session") if answer.ok else None


def test_three_that_race_form_one_set_in_any_order(agent: Agent, pool: Candidates) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for turn in range(ROUNDS):
        slowest_s = chance.choice([0, 0, 0.05, 0.3])
        coming = [
            pool.enter(agent, f"race{turn}", id, 3, delay_s=chance.uniform(0, slowest_s)) for id in ("n1", "n2", "n3")
        ]
        for one in coming:
            assert Formation(members("n1", "n2", "n3"), chosen=True) == one.result(30)
        assert [f"quorate/race{turn}/members"] == keys(agent, f"race{turn}"), "candidates leave nothing behind"


def test_of_five_that_race_for_three_places_exactly_three_are_chosen(agent: Agent, pool: Candidates) -> None:
    for turn in range(ROUNDS // 2):
        coming = {id: pool.enter(agent, f"five{turn}", id, 3) for id in ("n1", "n2", "n3", "n4", "n5")}
        found = {id: one.result(30) for id, one in coming.items()}
        first = found["n1"]
        assert first is not None
        assert 3 == len(first.members)
        for id, formation in found.items():
            assert Formation(first.members, chosen=id in dict(first.members)) == formation


def test_nobody_forms_before_all_are_there(agent: Agent, pool: Candidates) -> None:
    one, two = (pool.enter(agent, "slow", id, 3) for id in ("n1", "n2"))
    wait_for("two stand", lambda: 2 == len(keys(agent, "slow")))
    assert (False, False) == (one.done(), two.done())
    three = pool.enter(agent, "slow", "n3", 3)
    for each in (one, two, three):
        assert Formation(members("n1", "n2", "n3"), chosen=True) == each.result(30)


def test_who_comes_late_is_told_the_set_and_not_chosen(agent: Agent, pool: Candidates) -> None:
    for each in [pool.enter(agent, "late", id, 2) for id in ("n1", "n2")]:
        each.result(30)
    assert Formation(members("n1", "n2"), chosen=False) == pool.enter(agent, "late", "n3", 2).result(30)
    again = pool.enter(agent, "late", "n2", 2)
    assert Formation(members("n1", "n2"), chosen=True) == again.result(30), "a chosen one may come back before forming"


def test_a_candidate_that_went_away_is_not_chosen(agent: Agent, pool: Candidates) -> None:
    gone = pool.enter(agent, "gone", "n1", 2)
    wait_for("it stands", lambda: keys(agent, "gone"))
    pool.leave(0)
    assert gone.result(30) is None
    for each in [pool.enter(agent, "gone", id, 2) for id in ("n2", "n3")]:
        assert Formation(members("n2", "n3"), chosen=True) == each.result(30)


def test_a_candidate_that_was_killed_takes_its_place_again_at_once(agent: Agent, pool: Candidates) -> None:
    session = agent.call("PUT", "/v1/session/create", json={"TTL": "3600s", "Behavior": "delete", "LockDelay": "0s"})[
        "ID"
    ]
    stale, key = f'{{"id":"n1","raft":"{address("n1")}","expect":2}}', "/v1/kv/quorate/killed/candidates/n1"
    assert agent.call("PUT", f"{key}?acquire={session}", data=stale)
    again = pool.enter(agent, "killed", "n1", 2)
    wait_for("its key is its own", lambda: holder(agent, key) not in (None, session))
    for each in (again, pool.enter(agent, "killed", "n2", 2)):
        assert Formation(members("n1", "n2"), chosen=True) == each.result(10)


def test_who_writes_second_gives_way_to_the_set_that_stands(
    agent: Agent, pool: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = msgspec.json.encode(AgreedMembers(dict(members("n1", "n8")), by="n8"))

    def outrun(search: _Candidacy) -> None:
        """Between this candidate's query and its write, another set is written."""
        agent.call("PUT", "/v1/kv/quorate/outrun/members?cas=0", data=written)

    monkeypatch.setattr(_Candidacy, "_formed_already", outrun)
    found = [pool.enter(agent, "outrun", id, 2) for id in ("n1", "n2")]
    assert [Formation(members("n1", "n8"), chosen=id == "n1") for id in ("n1", "n2")] == [
        one.result(30) for one in found
    ]


def test_two_nodes_with_one_address_do_not_form(
    agent: Agent, pool: Candidates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first = pool.enter(agent, "same", "n1", 2)
    wait_for("one stands", lambda: keys(agent, "same"))
    second = pool.enter(agent, "same", "n2", 2, raft=address("n1"))
    wait_for("it is said", lambda: "n1 and n2 both claim 10.0.0.1:9001" in caplog.text)
    assert (False, False) == (first.done(), second.done())


def test_two_nodes_with_one_id_do_not_form(agent: Agent, pool: Candidates, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    first = pool.enter(agent, "twins", "n1", 2)
    wait_for("one stands", lambda: keys(agent, "twins"))
    second = pool.enter(agent, "twins", "n1", 2, raft="10.0.0.77:9001")
    wait_for("it is said", lambda: "another node calls itself n1, at 10.0.0.1:9001" in caplog.text)
    assert (False, False) == (first.done(), second.done())


def test_nodes_that_expect_different_numbers_do_not_form(
    agent: Agent, pool: Candidates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    two, three = pool.enter(agent, "unlike", "n1", 2), pool.enter(agent, "unlike", "n2", 3)
    wait_for("it is said", lambda: "n2 expects 3 nodes and n1 2" in caplog.text)
    assert (False, False) == (two.done(), three.done())


def test_a_running_cluster_is_not_formed_twice_though_consul_lost_the_key(agent: Agent, pool: Candidates) -> None:
    running = Registration(
        Consul(address=agent.address), ServiceIdentity("n1", "lost", "http://127.0.0.1:1", address("n1"), "0.1.0")
    )
    running.cluster_formed("c0ffee")
    running.start()
    try:
        wait_for("it is there", lambda: agent.entry("quorate-lost-n1"))
        for each in [pool.enter(agent, "lost", id, 2) for id in ("n8", "n9")]:
            assert Formation(members("n1"), chosen=False) == each.result(30)
    finally:
        running.stop()


def test_a_node_listed_at_another_address_is_told(agent: Agent, pool: Candidates) -> None:
    for each in [pool.enter(agent, "moved", id, 2) for id in ("n1", "n2")]:
        each.result(30)
    moved = pool.enter(agent, "moved", "n2", 2, raft="10.0.0.77:9001")
    with pytest.raises(ConfigError, match=r"have n2 at 10\.0\.0\.2:9001, but this node is at 10\.0\.0\.77:9001"):
        moved.result(30)


def test_a_key_that_is_not_ours_is_named(agent: Agent, pool: Candidates) -> None:
    agent.call("PUT", "/v1/kv/quorate/garbage/members", data="[1]")
    with pytest.raises(ConfigError, match="quorate/garbage/members holds nothing of Quorate's"):
        pool.enter(agent, "garbage", "n1", 2).result(30)


@pytest.mark.parametrize("member", [("n9\n", "10.0.0.9:9001"), ("n9", "user:secret@10.0.0.9:9001")])
def test_a_set_of_members_that_no_node_could_be_is_named(agent: Agent, pool: Candidates, member: Any) -> None:
    data = msgspec.json.encode(AgreedMembers(dict([*members("n1"), member]), by="n8"))
    agent.call("PUT", "/v1/kv/quorate/nobody/members", data=data)
    with pytest.raises(ConfigError, match="quorate/nobody/members holds what is no member") as error:
        pool.enter(agent, "nobody", "n1", 2).result(30)
    assert "secret" not in error.value.detail


@pytest.mark.parametrize("stranger", ['{"id":"n8\\n","raft":"10.0.0.8:9001"', '{"id":"n8","raft":"u:p@10.0.0.8:9001"'])
def test_a_candidate_that_is_no_node_is_left_out(agent: Agent, pool: Candidates, stranger: str) -> None:
    session = agent.call("PUT", "/v1/session/create", json={"TTL": "3600s", "Behavior": "delete"})["ID"]
    cluster = f"left{len(stranger)}"
    key = f"/v1/kv/quorate/{cluster}/candidates/n8"
    assert agent.call("PUT", f"{key}?acquire={session}", data=f'{stranger},"expect":2}}')
    for each in [pool.enter(agent, cluster, id, 2) for id in ("n1", "n2")]:
        assert Formation(members("n1", "n2"), chosen=True) == each.result(30)


def test_another_program_s_service_of_our_name_keeps_nobody_from_forming(agent: Agent, pool: Candidates) -> None:
    agent.call("PUT", "/v1/agent/service/register", json={"Name": "quorate", "ID": "stranger", "Port": 1})
    for each in [pool.enter(agent, "beside", id, 2) for id in ("n1", "n2")]:
        assert Formation(members("n1", "n2"), chosen=True) == each.result(30)


def test_a_consul_that_hangs_while_they_gather_only_delays_them(
    tmp_path_factory: pytest.TempPathFactory, pool: Candidates
) -> None:
    with running_agent(tmp_path_factory.mktemp("hung")) as agent:
        one = pool.enter(agent, "hung", "n1", 2)
        wait_for("one stands", lambda: keys(agent, "hung"))
        agent.signal(signal.SIGSTOP)
        two = pool.enter(agent, "hung", "n2", 2)
        with pytest.raises(TimeoutError):
            two.result(2)
        agent.signal(signal.SIGCONT)
        for each in (one, two):
            assert Formation(members("n1", "n2"), chosen=True) == each.result(30)
