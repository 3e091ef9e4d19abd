"""What a caller who is not known is shown of a node's state: its numbers, and of its texts only who leads and the like.

Paths, addresses, ids of the cluster and of polls, the words of errors and the settings are for callers with a token.
What may be shown is listed here, not what may not: a text that is added to /status later is masked until somebody says
otherwise. The shape stays, for programs that read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

SHOWN_TEXTS = frozenset({"node", "role", "leader", "leader_via", "phase", "sink", "anonymous"})
LEFT_OUT = frozenset({"config", "cluster_id"})
NAMED_BY_POLLS = frozenset({"problems"})
MASK = "***"


def redacted(status: Mapping[str, Any]) -> dict[str, Any]:
    """A status as /status has it, without what only callers with a token are shown."""
    return dict(_shown(status))


def _shown(status: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in status.items():
        if name in LEFT_OUT:
            continue
        if isinstance(value, Mapping) and name in NAMED_BY_POLLS:
            yield name, {}
        elif isinstance(value, Mapping):
            yield name, dict(_shown(value))
        elif isinstance(value, str) and name in SHOWN_TEXTS:
            yield name, value
        else:
            yield name, redacted_value(value)


def without_raft(nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Members or nodes, without the addresses at which they meet. Where they serve HTTP is where clients go."""
    return [{**node, "raft": MASK} if "raft" in node else node for node in nodes]


def redacted_value(value: Any) -> Any:
    """A number as it is, and a mask for a text or a list of them, which may be paths or addresses."""
    if isinstance(value, Mapping):
        return {name: redacted_value(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [MASK] if value else []
    return value if value is None or isinstance(value, (bool, int, float)) else MASK
