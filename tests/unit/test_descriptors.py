"""How many connections a node takes under a limit of the system."""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from quorate import descriptors

RAISE = """
import json, resource, sys
from quorate import descriptors
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
descriptors.raise_limit(connections)
print(json.dumps([resource.getrlimit(resource.RLIMIT_NOFILE)[0], descriptors.connections_within(connections)]))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "expected"),
    [
        (256, 4_096, 1_000, [1_256, 1_000]),  # raised as far as needed, and no further
        (256, 1_024, 10_000, [1_024, 768]),  # as far as the system lets us
        (256, 256, 10_000, [256, 128]),  # half of a low limit is for the node itself
        (2_048, 4_096, 1_000, [2_048, 1_000]),  # never lowered
    ],
)
def test_the_limit_is_raised_and_some_is_kept_back(soft: int, hard: int, connections: int, expected: list[int]) -> None:
    """In a process of its own: a hard limit that is lowered stays low."""
    command = [sys.executable, "-c", RAISE, *map(str, (soft, hard, connections))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert expected == json.loads(done.stdout)


@pytest.fixture
def low_limit() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("low_limit")
def test_a_lower_number_than_the_settings_ask_for_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        descriptors.warn_of_limit(256)
        assert [] == caplog.messages
        descriptors.warn_of_limit(10_000)
    (words,) = caplog.messages
    assert "takes 256 connections and not the 10000 of http.connections_max" in words
    assert "LimitNOFILE" in words
