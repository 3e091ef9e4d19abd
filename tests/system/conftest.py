"""What several system tests are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.system import faults
from tests.system.old_version import old

__all__ = ["cluster", "old"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster, cluster.client() as client:
        client.create_poll("mood", faults.OPTIONS)
        yield cluster
