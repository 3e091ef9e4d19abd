"""What a kind of fault offers: it says whether it can work here, begins, and ends."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

C = TypeVar("C", contravariant=True)


class NotNow(Exception):
    """The fault makes no sense at this moment, for example because no node leads. The schedule goes on."""


class ActiveFault(Protocol):
    victims: Sequence[str]  # ids of nodes, or names of services
    words: str  # what is broken now, for the terminal and the report: "n2 is cut off from n1 and n3"

    needs_others: bool  # a node is repaired by the others: what else is broken has to end first

    def end(self) -> None:
        """Mend it. Bounded in time; idempotent. Nodes that it took down are started, and need not be ready."""


class Nemesis(Protocol[C]):
    """`C` is the cluster that it works on (`chaos/cluster.py`)."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str:
        """A line for `--help` and the docs."""

    def missing(self, cluster: C) -> str | None:
        """What this machine or this cluster lacks for it, as a sentence. None: it can work."""

    def begin(self, cluster: C, rng: random.Random) -> ActiveFault:
        """Raises `NotNow`."""
