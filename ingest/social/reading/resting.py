"""A network that is not connected because there is nothing to ask for, or because it may not ask now: that is no
trouble. Whoever supervises the stream must not start it again for it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Resting:
    """`why` is "" while it does not rest. Any thread may read it."""

    def __init__(self) -> None:
        self.why = ""

    @contextlib.contextmanager
    def because(self, why: str) -> Iterator[None]:
        self.why = why
        try:
            yield
        finally:
            self.why = ""


class RestingNetwork:
    """What networks have in common that read one server, `source`, and may rest. Without a sign of life for `silence_s`
    they connect anew."""

    def __init__(self, source: str, silence_s: float) -> None:
        self.source, self.silence_s = source, silence_s
        self.rest = Resting()

    @property
    def rests(self) -> str:
        """See `MayRest`."""
        return self.rest.why
