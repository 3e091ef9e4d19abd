"""Which nsqds a command asks, and what it says of them if none answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quorate.config import Loaded

DEFAULT = "127.0.0.1:4150"
FLAGS = {"nsq.nsqd": "--nsqd", "nsq.lookupd": "--lookupd"}


@contextlib.contextmanager
def nsqds_named(loaded: Loaded) -> Iterator[list[str]]:
    """Their addresses. An error that none answers, from within, says where they were named and what to do."""
    from quorate.ingest.nsq.publisher import NoNsqd, nsqds_of

    nsq = loaded.config.nsq
    try:
        found = [*nsq.nsqd, *(nsqds_of(nsq.lookupd) if nsq.lookupd else ())]
        yield list(dict.fromkeys(found)) or [DEFAULT]
    except NoNsqd as error:
        error.title = "No nsqd answers"
        before = error.fields.get("hint")
        error.fields["hint"] = f"{_what_to_do(loaded)} {before}" if before else _what_to_do(loaded)
        raise


def _what_to_do(loaded: Loaded) -> str:
    nsq = loaded.config.nsq
    named = [name for name, value in (("nsq.nsqd", nsq.nsqd), ("nsq.lookupd", nsq.lookupd)) if value]
    if not named:
        return (
            f"No setting names one, so {DEFAULT} was asked. Give --nsqd HOST:PORT or --lookupd HOST:PORT, or --config "
            "FILE of a node that has nsq.nsqd or nsq.lookupd."
        )
    origins = [loaded.origins[name] for name in named]
    by = ", ".join(
        FLAGS[name] if origin == "a flag" else f"{name} ({origin})" for name, origin in zip(named, origins, strict=True)
    )
    return f"It was named by {by}. Start it there, or name another one: --nsqd HOST:PORT or --lookupd HOST:PORT."
