"""A poll's results at one version, shared by all readers, in parts: what has not changed is not made again.

A tally of 100,000 options takes some 80 ms to be made and written, and most votes are for few of them. So results are
parts of some 1,000 options each. The next version has the same parts where no option of theirs has changed, with all
that was written of them. What a reader is sent of one version is joined from the parts once, and all are sent the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import msgspec

from quorate.turns import Turns

Rows = Callable[[Sequence[str], Sequence[int]], bytes]  # of options and their votes

_encode = msgspec.json.Encoder().encode


class ResultsForm(NamedTuple):
    """How results are written. Forms that differ in their heads alone share their rows."""

    head: Callable[[int], bytes]  # of so many options
    rows: Rows
    between: bytes = b""
    end: bytes = b""


class ResultsPart:
    """Some options that stand next to each other, with their votes. Nobody changes it."""

    __slots__ = ("_written", "names", "total", "votes")

    def __init__(self, names: Sequence[str], votes: Sequence[int]) -> None:
        self.names, self.votes, self.total = names, votes, sum(votes)
        self._written: dict[Rows, bytes] = {}

    def has(self, names: Sequence[str], votes: Sequence[int]) -> bool:
        return self.votes == votes and self.names == names

    def is_written(self, rows: Rows) -> bool:
        return rows in self._written

    def written(self, rows: Rows) -> bytes:
        if (data := self._written.get(rows)) is None:
            data = self._written[rows] = rows(self.names, self.votes)
        return data


class SharedResults(Mapping[str, int]):
    """Each form of it is made when the first reader needs it."""

    def __init__(self, parts: Sequence[ResultsPart]) -> None:
        self.parts = parts
        self._count, self.total = sum(len(part.names) for part in parts), sum(part.total for part in parts)
        self._forms: dict[ResultsForm, bytes] = {}
        self._making: dict[ResultsForm, asyncio.Task[bytes]] = {}

    @classmethod
    def of(cls, results: Mapping[str, int]) -> SharedResults:
        """As they are, if they are shared already; else in one part."""
        return results if isinstance(results, cls) else cls([ResultsPart([*results], [*results.values()])])

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(part.names for part in self.parts)

    def __getitem__(self, name: str) -> int:
        return self._all[name]

    @cached_property
    def _all(self) -> dict[str, int]:
        """For who looks single options up, which nobody does where there are many."""
        return dict(self.rows())

    def rows(self) -> Iterator[tuple[str, int]]:
        return chain.from_iterable(zip(part.names, part.votes, strict=True) for part in self.parts)

    async def form(self, form: ResultsForm, turns: Turns) -> bytes:
        """Others have their turn while it is made."""
        if (data := self._forms.get(form)) is not None:
            return data
        if len(self.parts) < 2:
            return self._join(form)
        if (making := self._making.get(form)) is None:
            making = self._making[form] = asyncio.ensure_future(self._make(form, turns))
        return await asyncio.shield(making)

    async def _make(self, form: ResultsForm, turns: Turns) -> bytes:
        try:
            async with turns:
                for part in self.parts:
                    if not part.is_written(form.rows):
                        part.written(form.rows)
                        await turns.rest()
                return self._join(form)
        finally:
            del self._making[form]

    def _join(self, form: ResultsForm) -> bytes:
        pieces = [form.head(len(self))]
        for place, part in enumerate(self.parts):
            pieces += (form.between, part.written(form.rows)) if place else (part.written(form.rows),)
        data = self._forms[form] = b"".join((*pieces, form.end))
        return data


def _json_rows(names: Sequence[str], votes: Sequence[int]) -> bytes:
    return _encode(dict(zip(names, votes, strict=True)))[1:-1]


AS_JSON = ResultsForm(lambda count: b"{", _json_rows, between=b",", end=b"}")
