"""Servers for whole deployments: each test's own Consul and NSQ, and one MongoDB for all of them, which they may kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.consul_agent import Agent, running_agent


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with running_agent(tmp_path / "consul") as agent:
        yield agent
