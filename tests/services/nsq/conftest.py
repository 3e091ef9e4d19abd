"""Each test that uses `servers` runs with the double, and with the real nsqd if that is on PATH."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.nsq.servers import KINDS, Server, Servers, servers_of


@pytest.fixture(params=KINDS)
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers]:
    with servers_of(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def nsqd(servers: Servers) -> Server:
    return servers.nsqd()


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One nsqd for all tests of a file that leave it as it was."""
    with servers_of(request.param, tmp_path_factory.mktemp("nsqd")) as made:
        yield made.nsqd()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = shutil.which("nsqd")
    terminalreporter.write_line(f"NSQ: the double{f', and {found}' if found else ' alone; no nsqd is on PATH'}")
