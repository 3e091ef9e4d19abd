"""The dedup window in shares: an id is pushed out by later ids of its own share alone.

Share 0 is the common one, and its size is the window. Each other share is a table of its own, made when the first vote
comes through it. The log says which share a vote is in (`entry.InShare`). A look-up spans all shares: whoever sends an
id again, through whatever share, meets it. So an id is in one table at the most.

Where no other share was ever used, nothing costs more than one table does. Each further table makes a look-up a quarter
of a microsecond longer, and takes up to 9 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from quorate.cluster.state.dedup import CONFLICT, DUPLICATE, ID_BYTES, Dedup, DedupView, FrozenDedup
from quorate.vote import SHARE_WINDOW as SHARE_WINDOW
from quorate.vote import SHARES_MAX

COMMON = 0


class Shares:
    def __init__(self, window: int) -> None:
        self._common = Dedup(window)
        self._tables = {COMMON: self._common}  # by the share's number

    @property
    def window(self) -> int:
        """Of the common share."""
        return self._common.window

    def size_of(self, share: int) -> int:
        return self._common.window if share == COMMON else SHARE_WINDOW

    @property
    def accepted(self) -> int:
        """The number of all ids ever accepted, in whatever share."""
        return sum(table.accepted for table in self._tables.values())

    def find(self, id: bytes) -> bytes | None:
        """The fingerprint held for this id hash, or None."""
        for table in self._tables.values():
            if (found := table.find(id)) is not None:
                return found
        return None

    def add(self, share: int, id: bytes, fingerprint: bytes) -> None:
        """Accept an id that `find` does not know."""
        self._table(share).add(id, fingerprint)

    def accept(
        self,
        share: int,
        ids: bytes,
        picks: array[int],
        fingerprints: Sequence[bytes],
        sure: Sequence[bytes | None],
        decide: Callable[[int], int],
    ) -> tuple[bytearray, list[int]]:
        """Decide a column of votes of one share in order, as `Dedup.accept` does."""
        table = self._table(share)
        known = self._known_to_others(table, ids) if len(self._tables) > 1 else {}
        if not known:
            return table.accept(ids, picks, fingerprints, sure, decide)
        outcomes = bytearray(len(picks))
        for vote, found in known.items():
            outcomes[vote] = DUPLICATE if found == fingerprints[picks[vote]] else CONFLICT
        others = [vote for vote in range(len(picks)) if vote not in known]
        decided, apart = table.accept(
            b"".join(ids[ID_BYTES * vote : ID_BYTES * (vote + 1)] for vote in others),
            array("I", [picks[vote] for vote in others]),
            fingerprints,
            sure,
            decide,
        )
        for vote, outcome in zip(others, decided, strict=True):
            outcomes[vote] = outcome
        return outcomes, sorted([*known, *(others[place] for place in apart)])

    def _known_to_others(self, table: Dedup, ids: bytes) -> dict[int, bytes]:
        """The votes whose ids are in another share, and the fingerprints there. None of these tables changes while the
        column is decided."""
        known: dict[int, bytes] = {}
        for other in self._tables.values():
            if other is not table:
                known |= other.known(ids)
        return known

    def _table(self, share: int) -> Dedup:
        table = self._tables.get(share)
        if table is None:
            table = self._tables[share] = Dedup(self.size_of(share))
        return table

    def set_window(self, window: int) -> str | None:
        """Change the size of the common share. Returns None, or why the change is refused."""
        return self._common.set_window(window)

    def view(self) -> DedupView:
        views = {share: table.view() for share, table in sorted(self._tables.items())}
        return DedupView(
            self.window,
            views[COMMON].accepted,
            sum(view.held for view in views.values()),
            sum(view.memory_bytes for view in views.values()),
            {share: view.held for share, view in views.items()},
        )

    # ---- snapshots --------------------------------------------------------------------------------------------------

    def freeze_common(self) -> FrozenDedup:
        return self._common.freeze()

    def freeze_others(self) -> list[tuple[int, FrozenDedup]]:
        """The other shares by their numbers, in this order, whichever was used first."""
        return [(share, table.freeze()) for share, table in sorted(self._tables.items()) if share != COMMON]

    @classmethod
    def restore(cls, common: FrozenDedup, others: Sequence[tuple[int, FrozenDedup]]) -> Shares:
        """Raises ValueError if the parts do not fit together."""
        shares = cls(common.window)
        shares._common = shares._tables[COMMON] = Dedup.restore(common)
        for share, frozen in others:
            if not COMMON < share <= SHARES_MAX or share in shares._tables:
                raise ValueError(f"share {share} of the ids is none, or comes twice")
            shares._tables[share] = Dedup.restore(frozen)
        return shares
