"""A node's place in Consul, against a real agent: there while it runs, tagged while it leads, and never in the way."""

from __future__ import annotations

import contextlib
import functools
import http.server
import logging
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import requests

from quorate.cluster.discovery.nodes import find_nodes
from quorate.cluster.discovery.registration import Registration, ServiceIdentity
from quorate.config import Consul
from quorate.errors import ConfigError, NotReady
from tests.services.consul_agent import Agent, running_agent
from tests.support.waiting import wait_for

Check = Literal["http", "ttl"]

TAG_S = 2.0  # what is promised for the leader tag
TIMEOUT_MS = 500


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("consul")) as agent:
        yield agent


class Node:
    """As much of a node as Consul sees: /readyz, and a registration."""

    def __init__(self, agent: Agent, node_id: str, *, check: Check = "ttl", every_s: int = 1) -> None:
        self.ready = True
        node = self

        class Readyz(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert "/readyz" == self.path
                self.send_response(200 if node.ready else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Readyz)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.identity = ServiceIdentity(node_id, "mood", self.url, "127.0.0.1:9001", "0.1.0")
        self.settings = Consul(address=agent.address, check=check, check_interval_s=every_s, timeout_ms=TIMEOUT_MS)
        self.registration = Registration(
            self.settings, self.identity, health=lambda: None if self.ready else "no leader"
        )
        self.id = f"quorate-mood-{node_id}"

    def __enter__(self) -> Node:
        self.registration.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.registration.stop()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def passing(agent: Agent, service_id: str) -> bool:
    entry = agent.entry(service_id)
    return entry is not None and all(check["Status"] == "passing" for check in entry["Checks"])


@pytest.mark.parametrize("check", ["http", "ttl"])
def test_registers_with_addresses_tags_and_a_check_and_deregisters_on_stop(agent: Agent, check: Check) -> None:
    with Node(agent, "n1", check=check) as node:
        wait_for("it passes", lambda: passing(agent, node.id))
        entry = agent.entry(node.id)
        assert entry is not None
        service = entry["Service"]
        assert ("quorate", "127.0.0.1", node.port) == (service["Service"], service["Address"], service["Port"])
        assert ["http", "raft", "0.1.0"] == service["Tags"]
        assert {"node": "n1", "cluster": "mood", "http": node.url, "raft": "127.0.0.1:9001"}.items() <= service[
            "Meta"
        ].items()
        assert check == next(one["Type"] for one in entry["Checks"] if one["ServiceID"])
        assert node.registration.status()["registered"]
        node.registration.stop()
        assert agent.entry(node.id) is None
        node.registration.stop()


@pytest.mark.parametrize("check", ["http", "ttl"])
def test_a_node_that_is_not_ready_is_shown_critical_and_comes_back(agent: Agent, check: Check) -> None:
    with Node(agent, "n1", check=check) as node:
        wait_for("it passes", lambda: passing(agent, node.id))
        node.ready = False
        wait_for("it is critical", lambda: not passing(agent, node.id))
        node.ready = True
        wait_for("it passes again", lambda: passing(agent, node.id))


def test_leader_tag_moves_within_two_seconds_and_the_checks_stay_as_they_are(agent: Agent) -> None:
    seldom_s = 3  # long, so that the change itself moves the tag, and not the next check
    with (
        Node(agent, "n1", every_s=seldom_s, check="http") as one,
        Node(agent, "n2", every_s=seldom_s, check="http") as two,
    ):
        wait_for("both pass", lambda: passing(agent, one.id) and passing(agent, two.id))
        for leader, other in ((one, two), (two, one), (one, two)):
            other.registration.leader_changed(False)
            leader.registration.leader_changed(True)
            wait_for("the tag moved", functools.partial(tagged, agent, leader.id, other.id), deadline_s=TAG_S)
            assert passing(agent, one.id)
            assert passing(agent, two.id)


def tagged(agent: Agent, leader: str, other: str) -> bool:
    return "leader" in agent.tags(leader) and "leader" not in agent.tags(other)


def test_the_leader_is_found_by_dns_and_a_node_that_is_not_ready_is_not(agent: Agent) -> None:
    with Node(agent, "n1") as one, Node(agent, "n2") as two:
        one.registration.leader_changed(True)
        wait_for("both pass", lambda: passing(agent, one.id) and passing(agent, two.id))
        wait_for("it is tagged", lambda: "leader" in agent.tags(one.id), deadline_s=TAG_S)
        (leader,) = agent.ask_dns("leader.quorate")
        assert one.port == leader.port
        (address,) = agent.ask_dns("leader.quorate", "A")
        assert "127.0.0.1" == address.address
        assert {one.port, two.port} == {each.port for each in agent.ask_dns("quorate")}
        two.ready = False
        wait_for("one is hidden", lambda: [one.port] == [each.port for each in agent.ask_dns("quorate")])


def test_commands_find_the_nodes_that_pass_leader_first(agent: Agent) -> None:
    with Node(agent, "n1") as one, Node(agent, "n2") as two, Node(agent, "n3") as three:
        two.registration.leader_changed(True)
        wait_for("all pass", lambda: 3 == len(find_nodes(one.settings)))
        wait_for("the leader is first", lambda: [two.url, one.url, three.url] == find_nodes(one.settings))
        assert [] == find_nodes(one.settings, cluster="another")
        three.ready = False
        wait_for("one is left out", lambda: [two.url, one.url] == find_nodes(one.settings))


def test_commands_are_told_when_consul_is_not_there() -> None:
    with pytest.raises(NotReady, match=r"Consul at 127\.0\.0\.1:1: no connection"):
        find_nodes(Consul(address="127.0.0.1:1"))


@pytest.mark.parametrize("address", ["ftp://here", "127.0.0.1:port", "http://here/path", "http://"])
def test_an_address_that_is_none_is_refused_in_words(address: str) -> None:
    with pytest.raises(ConfigError, match=r"consul\.address"):
        find_nodes(Consul(address=address))


def test_registers_again_when_somebody_removed_or_changed_the_entry(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    with Node(agent, "n1") as node:
        node.registration.leader_changed(True)
        wait_for("it is tagged", lambda: "leader" in agent.tags(node.id))
        agent.call("PUT", f"/v1/agent/service/deregister/{node.id}")
        wait_for("it is back, tag and all", lambda: passing(agent, node.id) and "leader" in agent.tags(node.id))
        other = {"ID": node.id, "Name": "quorate", "Port": 1, "Meta": {"http": "http://elsewhere:1"}}
        agent.call("PUT", "/v1/agent/service/register", json=other)
        wait_for("it is as it was", lambda: "leader" in agent.tags(node.id))
    assert "forgot quorate-mood-n1" in caplog.text
    assert "it says http://elsewhere:1" in caplog.text


def test_an_agent_that_lost_its_data_gets_the_node_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running_agent(tmp_path) as agent, Node(agent, "n1") as node:
        wait_for("it passes", lambda: passing(agent, node.id))
        agent.kill()
        wait_for("it is said", lambda: not node.registration.status()["registered"])
        node.registration.leader_changed(True)
        assert "no connection" in node.registration.status()["detail"]
        assert "counting goes on" in node.registration.status()["detail"]
        agent.forget()
        wait_for("it is back, tag and all", lambda: passing(agent, node.id) and "leader" in agent.tags(node.id))
        wait_for("it is said", lambda: node.registration.status()["registered"])
    assert 1 == caplog.text.count("no connection; counting goes on"), "one line a change, not one a try"


@contextlib.contextmanager
def way_to(agent: Agent, path: str, status: int | None) -> Iterator[str]:
    """The address of a way to the agent by which all arrives; what is asked below `path` is answered so, or never."""

    class Way(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answered = requests.put(f"http://{agent.address}{self.path}", body, timeout=10).status_code
            if (answer := status if self.path.startswith(path) else answered) is not None:
                self.send_response(answer)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Way) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(5)


@pytest.mark.parametrize(("path", "status"), [("/v1/agent/service/register", None), ("/v1/agent/check/", 404)])
def test_what_an_agent_took_and_did_not_confirm_is_withdrawn_on_stop(
    agent: Agent, path: str, status: int | None
) -> None:
    identity = ServiceIdentity("n1", "mood", "http://127.0.0.1:8001", "127.0.0.1:9001", "0.1.0")
    with way_to(agent, path, status) as address:
        registration = Registration(Consul(address=address, check="ttl", timeout_ms=TIMEOUT_MS), identity)
        registration.start()
        try:
            wait_for("the agent has it", lambda: agent.entry(identity.service_id))
            wait_for("the node does not know", lambda: registration.status()["failures"])
        finally:
            registration.stop()
        assert agent.entry(identity.service_id) is None


def test_a_hung_agent_blocks_neither_a_change_of_leader_nor_the_stop(tmp_path: Path) -> None:
    with running_agent(tmp_path) as agent, Node(agent, "n1") as node:
        wait_for("it passes", lambda: passing(agent, node.id))
        agent.signal(signal.SIGSTOP)
        started = time.monotonic()
        for leads in (True, False, True):
            node.registration.leader_changed(leads)
        assert time.monotonic() - started < TIMEOUT_MS / 1000
        wait_for("it is said", lambda: "no answer in time" in node.registration.status()["detail"])
        agent.signal(signal.SIGCONT)
        wait_for("the tag comes once it answers", lambda: "leader" in agent.tags(node.id), deadline_s=10)
        agent.signal(signal.SIGSTOP)
        started = time.monotonic()
        node.registration.stop()
        assert time.monotonic() - started < 6 * TIMEOUT_MS / 1000
        assert node.registration.status()["detail"].startswith("not deregistered: Consul at")
        agent.signal(signal.SIGCONT)
