"""Servers for whole deployments: each test's own Consul and NSQ, and one MongoDB that any of them may kill."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.consul_agent import Agent, running_agent
from tests.services.nsq.servers import KINDS, Servers, servers_of
from tests.services.script import Services
from tests.services.system.deployment import Deployment, Mongo


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with running_agent(tmp_path / "consul") as agent:
        yield agent


@pytest.fixture(params=KINDS)
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers]:
    """The double, and the real nsqd where it is on PATH."""
    with servers_of(request.param, tmp_path / "nsq") as made:
        yield made


@pytest.fixture(scope="session")
def mongo_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A MongoDB of these tests' own. Where there is none to be had they are skipped, or fail if it is required."""
    services = Services(tmp_path_factory.mktemp("mongo"))
    try:
        answer = services("up", "mongo")
        if answer.returncode != 0:
            if os.environ.get("QUORATE_REQUIRE_SERVICES") == "1":
                pytest.fail(answer.stderr.strip())
            pytest.skip(f"no MongoDB to be had: {answer.stderr.strip()}")
        yield services
    finally:
        down = services("down", "--purge", "mongo")
        assert 0 == down.returncode, down.stderr


@pytest.fixture
def mongo(mongo_services: Services) -> Iterator[Mongo]:
    """A database of the test's own."""
    mongo = Mongo(mongo_services)
    yield mongo
    mongo.close()


@pytest.fixture
def deployment(agent: Agent, servers: Servers, mongo: Mongo, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(tmp_path, agent, servers, mongo) as deployment:
        yield deployment
