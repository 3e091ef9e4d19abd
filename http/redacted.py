"""What a caller who is not known is shown of a node's state: its numbers, and of its texts only who leads and the like.

Paths, addresses, ids of the cluster and of polls, the words of errors and the settings are for callers with a token.
What may be shown is listed here, not what may not: a text that is added to /status later is hidden until somebody says
otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SHOWN_TEXTS = frozenset({"node", "role", "leader", "leader_via", "phase", "sink", "anonymous"})
HIDDEN = frozenset({"config", "listening"})
MASK = "***"


def redacted(status: Mapping[str, Any]) -> dict[str, Any]:
    """A status as /status has it, without what only callers with a token are shown."""
    return dict(_shown(status))


def _shown(status: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in status.items():
        if name in HIDDEN:
            continue
        if isinstance(value, Mapping):
            yield name, dict(_shown(value))
        elif value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and name in SHOWN_TEXTS):
            yield name, value


def redacted_value(value: Any) -> Any:
    """The value of a setting: a number as it is, and a mask for a text, which may be a path or an address."""
    if isinstance(value, Mapping):
        return {name: redacted_value(each) for name, each in value.items()}
    return value if value is None or isinstance(value, (bool, int, float)) else MASK
