"""When a backup is due, and which are removed: told by the names in the store alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from quorate.backup.due import StoredBackup, name_of, next_due_s, stored_among, too_old


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_name_tells_cluster_time_and_version() -> None:
    name = name_of("0f", at("2026-11-27T03:00:07"), 1234)
    assert "quorate-0f-20261127T030007Z-v0000000000001234.backup" == name
    assert [StoredBackup(1234, at("2026-11-27T03:00:07"), name)] == stored_among([name], "0f")


@pytest.mark.parametrize(
    "name",
    [
        "quorate-1f-20261127T030007Z-v0000000000001234.backup",
        "quorate-0f-20261131T030007Z-v0000000000001234.backup",
        "quorate-0f-20261127T030007Z-v0000000000001234.backup.old",
        ".quorate-0f-20261127T030007Z-v0000000000001234.backup.0123abcd.part",
        "quorate-1234.backup",
    ],
)
def test_what_has_another_name_is_not_ours(name: str) -> None:
    assert [] == stored_among([name], "0f")


def test_those_of_the_lowest_versions_are_removed_whatever_clocks_said() -> None:
    versions = {30: "2026-11-27", 10: "2026-11-28", 20: "2026-11-26"}
    names = [name_of("0f", at(day), version) for version, day in versions.items()]
    stored = stored_among(names, "0f")
    assert [10, 20] == [each.version for each in too_old(stored, 1)]
    assert [] == too_old(stored, 3)
    some = [each for each in stored if each.version != 30]  # as one saw it who was deposed before 30 came
    assert {*too_old(some, 1)} <= {*too_old(stored, 1)}


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (None, "2026-11-27T12:00:00", "2026-11-27T12:00:00"),
        ("2026-11-27T03:00:07", "2026-11-27T12:00:00", "2026-11-28T03:00:00"),
        ("2026-11-25T03:00:07", "2026-11-27T12:00:00", "2026-11-26T03:00:00"),  # missed: it is past
        ("2030-01-01T03:00:00", "2026-11-27T12:00:00", "2026-11-28T03:00:00"),  # by a clock that was ahead
    ],
)
def test_the_next_is_due(last: str | None, now: str, due: str) -> None:
    assert at(due) == next_due_s("0 3 * * *", None if last is None else at(last), at(now))
