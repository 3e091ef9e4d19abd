"""Pages of the log: what is applied and held, and not more bytes than are wanted, but for one entry."""

from __future__ import annotations

from typing import cast

import pytest

from quorate.cluster.raft.engine.engine import Engine
from quorate.cluster.raft.log_point import applied_page
from quorate.errors import Gone


class _HeldLog:
    """The base is entry 10, and entries 11 to 15 are held, of 100 bytes each; 14 are applied."""

    def __init__(self) -> None:
        self.journal = self
        self.first_index, self.applied_index = 10, 14

    def command_at(self, index: int) -> bytes:
        assert 11 <= index <= 14
        return b"\x00" + bytes(99)

    def chain_at(self, index: int) -> bytes:
        return b"c%d" % index

    def term_at(self, index: int) -> int:
        return 3


@pytest.mark.parametrize(
    ("first", "entries_max", "bytes_max", "expected"),
    [
        (None, 9, 1_000, [11, 12, 13, 14]),
        (12, 2, 1_000, [12, 13]),
        (None, 9, 250, [11, 12]),
        (None, 9, 10, [11]),
        (15, 9, 1_000, []),
    ],
)
def test_a_page_is_bounded(first: int | None, entries_max: int, bytes_max: int, expected: list[int]) -> None:
    page = applied_page(cast(Engine, _HeldLog()), first, entries_max, bytes_max)
    assert (11, 14, expected) == (page.first, page.last, [each.index for each in page.entries])
    assert all(("batches", 3, b"c%d" % each.index) == (each.kind, each.term, each.chain) for each in page.entries)


def test_what_a_snapshot_stands_for_is_gone() -> None:
    with pytest.raises(Gone, match="begins with entry 11"):
        applied_page(cast(Engine, _HeldLog()), 10, 9, 1_000)
