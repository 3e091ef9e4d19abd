"""A node that speaks HTTPS is asked for its health by it: the agent must trust the certificate's authority."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from quorate.cluster.discovery.nodes import find_nodes
from quorate.cluster.discovery.registration import Registration, ServiceIdentity
from quorate.config import Consul
from quorate.security.tls import server_tls
from tests.services.consul_agent import running_agent
from tests.support.certificates import Authority
from tests.support.http_node import running
from tests.support.waiting import wait_for


def test_consul_checks_a_node_over_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # instead of the authorities that its host trusts
    (tmp_path / "consul").mkdir()
    with (
        running_agent(tmp_path / "consul") as agent,
        running(tls=partial(server_tls, *authority.issue()), trusts=authority.client_context()) as node,
    ):
        url = f"https://127.0.0.1:{node.port}"
        settings = Consul(address=agent.address)
        identity = ServiceIdentity("n1", "mood", url, "127.0.0.1:9001", "0.2.0")
        registration = Registration(settings, identity, health=lambda: None)
        registration.start()
        try:
            wait_for("the check passes", lambda: [url] == find_nodes(settings), deadline_s=20)
        finally:
            registration.stop()
