"""Positions that were kept, and that make no sense to the network that they are of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from quorate.errors import Invalid


@contextlib.contextmanager
def position_in_words() -> Iterator[None]:
    """What reading a position raises becomes `Invalid`. It is no reason to begin anew without a word."""
    try:
        yield
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise Invalid(
            f"the position that was kept makes no sense ({type(error).__name__}). --new goes on without it; what was "
            "read before counts once, by its ids"
        ) from None
