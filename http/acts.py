"""One line in the log for each act of an operator: who, what, from where, and the version that the node had then.

A line is written when the act is done, and when it failed: an operator's act that may have taken effect is an act. Who
does not operate and was refused, with nothing done, is not told of: a token that manages one poll could fill the disk
with its refusals. What a caller wrote is shown in ASCII and escaped, so that nothing of it can look like another line.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from quorate.errors import QuorateError
from quorate.http.api import Api
from quorate.http.request import Request

SHOWN_MAX = 300

log = logging.getLogger(__name__)


@contextlib.contextmanager
def act(api: Api, request: Request, what: str) -> Iterator[None]:
    """`what` in words, as "remove the member n3"; parts of it that a caller wrote are `quoted`."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, QuorateError) and error.definite and not request.caller.may("operate"):
            raise
        kind = error.kind if isinstance(error, QuorateError) else type(error).__name__
        log.warning("%s asked to %s: %s, version %d", request.caller, what, kind, api.replica.state.version)
        raise
    log.info("%s asked to %s: done, version %d", request.caller, what, api.replica.state.version)


def quoted(text: object) -> str:
    return ascii(str(text)[:SHOWN_MAX])
