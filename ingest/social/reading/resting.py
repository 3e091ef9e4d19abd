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
