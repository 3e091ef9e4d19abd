"""A fault that is active: what it broke, in words, and how it is mended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from quorate.chaos.breakable import BreakableNode


class Ongoing:
    """`mend` is called once, by the first `end`. `needs_others`: it takes long unless nothing else is broken."""

    def __init__(
        self,
        victims: Iterable[BreakableNode | str],
        words: str,
        mend: Callable[[], object],
        *,
        needs_others: bool = False,
    ) -> None:
        self.victims: Sequence[str] = [v if isinstance(v, str) else v.id for v in victims]
        self.words = words
        self.needs_others = needs_others
        self._mend = mend
        self._ended = False

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._mend()


def names(nodes: Iterable[BreakableNode]) -> str:
    """ "n1", "n1 and n2", "n1, n2 and n3"."""
    ids = sorted(node.id for node in nodes)
    return ids[0] if len(ids) == 1 else f"{', '.join(ids[:-1])} and {ids[-1]}"


def is_or_are(nodes: Sequence[BreakableNode]) -> str:
    return "is" if len(nodes) == 1 else "are"
