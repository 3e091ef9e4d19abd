"""deploy/consul says what a real Consul accepts, and its policies allow what is needed and no more."""

from __future__ import annotations

import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from quorate.cluster.discovery.formation import Formation, discover
from quorate.cluster.discovery.nodes import find_nodes
from quorate.cluster.discovery.registration import Registration, ServiceIdentity
from quorate.config import Consul, load
from quorate.errors import NotReady
from tests.services.consul_agent import ROOT, Agent, consul_binary, running_agent
from tests.support.waiting import wait_for

DEPLOY = ROOT / "deploy/consul"
ID = "quorate-mood-n1"


@pytest.mark.parametrize(
    "files",
    [
        ["server.hcl", "three-hosts/n1.hcl"],
        ["server.hcl", "three-hosts/n2.hcl"],
        ["server.hcl", "three-hosts/n3.hcl"],
        ["agent.hcl"],
        ["agent.hcl", "quorate-service.hcl"],
    ],
    ids=" ".join,
)
def test_consul_accepts_the_files(files: list[str]) -> None:
    argv = [consul_binary(), "validate", *(str(DEPLOY / file) for file in files)]
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert (0, True) == (answer.returncode, "Configuration is valid!" in answer.stdout), answer.stderr


def test_quorate_accepts_the_nodes_file(tmp_path: Path) -> None:
    for secret, text in {
        "raft.key": secrets.token_hex(32),
        "consul.token": "t",
        "mongo.url": "mongodb://10.0.0.9",
    }.items():
        (tmp_path / secret).write_text(text)
        (tmp_path / secret).chmod(0o600)
    file = tmp_path / "quorate.toml"
    file.write_text((DEPLOY / "three-hosts/quorate.toml").read_text().replace("/etc/quorate", str(tmp_path)))
    config = load(file, env={}, flags={"raft.bootstrap_expect": "3"}).config
    assert ("127.0.0.1:8500", "t", ["mongo"]) == (config.consul.address, config.consul.token, config.flush.sinks)


class Closed:
    """A Consul with ACLs on, as server.hcl has them, and a token for each policy file."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.bootstrap = wait_for("ACLs are on", self._bootstrapped)
        self.node, self.client, self.agents = (self._token(name) for name in ("node", "client", "agent"))

    def _bootstrapped(self) -> str | None:
        """Consul before 1.11 begins in an older mode, and answers 500 until it has left it."""
        answer = requests.put(f"http://{self.agent.address}/v1/acl/bootstrap", timeout=10)
        return str(answer.json()["SecretID"]) if answer.ok else None

    def _token(self, name: str) -> str:
        rules = (DEPLOY / f"acl/{name}.hcl").read_text()
        self.agent.call("PUT", "/v1/acl/policy", self.bootstrap, json={"Name": name, "Rules": rules})
        token = {"Policies": [{"Name": name}]}
        return str(self.agent.call("PUT", "/v1/acl/token", self.bootstrap, json=token)["SecretID"])

    def settings(self, token: str) -> Consul:
        return Consul(address=self.agent.address, token=token, check="ttl", check_interval_s=1)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    acl = 'acl { enabled = true default_policy = "deny" enable_token_persistence = true }'
    with running_agent(tmp_path_factory.mktemp("acl"), hcl=acl) as agent:
        yield Closed(agent)


@pytest.fixture
def registration(closed: Closed) -> Iterator[Registration]:
    registration = registered(closed, lambda: None)
    yield registration
    registration.stop()


def registered(closed: Closed, health: Callable[[], None]) -> Registration:
    identity = ServiceIdentity("n1", "mood", "http://127.0.0.1:8001", "127.0.0.1:9001", "0.1.0")
    registration = Registration(closed.settings(closed.node), identity, health=health)
    registration.start()
    return registration


def test_the_nodes_policy_lets_it_register_see_itself_move_its_tag_and_leave(closed: Closed) -> None:
    def tags() -> list[str]:
        entry = closed.agent.entry(ID, closed.bootstrap)
        return [] if entry is None else list(entry["Service"]["Tags"])

    checks: list[None] = []
    registration = registered(closed, lambda: checks.append(None))
    try:
        wait_for("it checked a few times", lambda: len(checks) > 3)
        assert 1 == registration.status()["registrations"], "with this token it sees that it is registered"
        registration.leader_changed(True)
        wait_for("it is tagged", lambda: "leader" in tags(), deadline_s=2)
    finally:
        registration.stop()
    assert [] == tags()


def test_the_nodes_policy_lets_them_form_a_cluster(closed: Closed) -> None:
    found = discover(closed.settings(closed.node), "alone", "n1", "10.0.0.1:9001", 1, stop=threading.Event())
    assert Formation([("n1", "10.0.0.1:9001")], chosen=True) == found


def test_the_clients_policy_lets_commands_find_nodes_and_register_none(
    closed: Closed, registration: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for("it is found", lambda: ["http://127.0.0.1:8001"] == find_nodes(closed.settings(closed.client)))
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", closed.client)
    assert ["http://127.0.0.1:8001"] == find_nodes(closed.settings("")), "as Consul's own commands take it"
    with pytest.raises(AssertionError, match="403"):
        closed.agent.call("PUT", "/v1/agent/service/register", closed.client, json={"Name": "quorate"})


def test_a_token_that_may_not_is_said_in_words_and_a_token_set_outranks_the_environment(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", closed.bootstrap)
    identity = ServiceIdentity("n2", "mood", "http://127.0.0.1:8002", "127.0.0.1:9002", "0.1.0")
    refused = Registration(closed.settings(closed.client), identity)
    refused.start()
    try:
        wait_for("it is said", lambda: "Permission denied" in refused.status()["detail"])
        assert not refused.status()["registered"]
    finally:
        refused.stop()


def test_no_token_finds_nothing(closed: Closed, registration: Registration) -> None:
    wait_for("it is there", lambda: closed.agent.entry(ID, closed.bootstrap))
    assert [] == find_nodes(closed.settings(""))
    with pytest.raises(NotReady, match="ACL not found"):
        find_nodes(closed.settings("00000000-0000-0000-0000-000000000000"))


def test_the_agents_policy_lets_it_answer_dns(closed: Closed, registration: Registration) -> None:
    wait_for("it is there", lambda: closed.agent.entry(ID, closed.bootstrap))
    for kind in ("agent", "default"):
        url = f"http://{closed.agent.address}/v1/agent/token/{kind}"
        token = {"X-Consul-Token": closed.bootstrap}
        assert requests.put(url, json={"Token": closed.agents}, headers=token, timeout=5).ok
    wait_for("DNS answers", lambda: closed.agent.ask_dns("quorate"))
