"""Which scheduled backups there are, when the next is due, and which are old enough to be removed: pure.

All is told by the names in the store, so a new leader needs to know nothing else. A name says of which cluster the
backup is, when it was begun (UTC) and at which version: quorate-CLUSTER-20261127T030000Z-v0000000000001234.backup
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from cronsim import CronSim

_NAME = re.compile(r"quorate-(?P<cluster>[0-9a-f]{1,64})-(?P<time>\d{8}T\d{6}Z)-v(?P<version>\d{16})\.backup")
_TIME = "%Y%m%dT%H%M%SZ"


class StoredBackup(NamedTuple):
    """In the order of their age: the versions of one cluster only grow, and clocks of nodes differ."""

    version: int
    moment_s: float  # Unix
    name: str


def name_of(cluster_id: str, moment_s: float, version: int) -> str:
    return f"quorate-{cluster_id}-{datetime.fromtimestamp(moment_s, UTC):{_TIME}}-v{version:016d}.backup"


def stored_among(names: Iterable[str], cluster_id: str) -> list[StoredBackup]:
    """This cluster's backups, the oldest first. What has another name, or is another cluster's, is not ours."""
    found = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None or match["cluster"] != cluster_id:
            continue
        try:
            moment = datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
        except ValueError:  # the 31st of February
            continue
        found.append(StoredBackup(int(match["version"]), moment.timestamp(), name))
    return sorted(found)


def too_old(stored: list[StoredBackup], keep: int) -> list[StoredBackup]:
    """Those beyond the newest `keep`. Who knows only some of the backups finds none here that others would keep."""
    return stored[:-keep]


def next_due_s(schedule: str, last_s: float | None, now_s: float) -> float:
    """The moment from which on a backup is due. It is past if one was missed, or if there is none at all.

    A clock that was ahead when the last one was made puts off nothing: at most the next moment after now.
    """
    if last_s is None:
        return now_s
    return _after(schedule, min(last_s, now_s))


def _after(schedule: str, moment_s: float) -> float:
    return next(CronSim(schedule, datetime.fromtimestamp(moment_s, UTC))).timestamp()
