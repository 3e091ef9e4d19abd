"""Reads an answer that is too big to hold, piece by piece, from the first node that gives it whole.

An answer that breaks off is begun anew, at another node, where its reader can begin anew. Only for requests that
change nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import requests

from quorate.client.asking import Asking, NextAttempt, NodeUrls, RetryTimes
from quorate.client.calls import Call
from quorate.client.error_replies import answer_error, transport_error
from quorate.errors import NoLeader, OutcomeUnknown, QuorateError
from quorate.web.open_sockets import OpenSockets, pools_by_scheme
from quorate.web.session import WebSession
from quorate.web.words import by_way_of

PIECE_BYTES = 256 * 1024
SILENCE_S = 30.0  # after which a node that sends nothing more is given up
ERROR_BYTES_MAX = 64 * 1024
BROKEN_MAX = 5  # answers that broke off, after which no further one is begun

T = TypeVar("T")


class DownloadBroken(NoLeader):
    """The node, or the way to it, broke off in the middle of the answer."""

    title = "The answer broke off"


class OpenedAnswer:
    """An answer that has begun. `pieces` raises `DownloadBroken` if it breaks off. Close it."""

    def __init__(self, node: str, response: requests.Response, sockets: OpenSockets) -> None:
        self.node, self._response, self._sockets = node, response, sockets

    def pieces(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_content(PIECE_BYTES)
        except requests.RequestException as error:
            silent = isinstance(error, requests.Timeout) or "timed out" in str(error)
            why = f"sent nothing more for {SILENCE_S:.0f} s" if silent else "broke the connection"
            raise DownloadBroken(f"{self.node} {why} in the middle of its answer") from None

    def close(self) -> None:
        self._sockets.close()
        self._response.close()


class Downloader:
    """`timeout_s`: how long to look for a node that answers, and `unreached_s`, where none can be reached. The answer
    itself may take as long as it comes."""

    def __init__(
        self,
        nodes: NodeUrls,
        *,
        timeout_s: float,
        unreached_s: float | None = None,
        token: str | None = None,
        ca: str | None = None,
    ) -> None:
        self._nodes, self._ca = nodes, ca
        self._times = RetryTimes(timeout_s, min(timeout_s, unreached_s or timeout_s))
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def read(self, path: str, params: Mapping[str, str], save: Callable[[OpenedAnswer], T], *, anew: bool) -> T:
        """What `save` returns of the answer. With `anew` it is called again if an answer broke off, with another one.

        Raises `DownloadBroken`, and whatever `save` raises.
        """
        call: Call[object] = Call("GET", path, lambda reply: reply, params=params)
        for left in reversed(range(BROKEN_MAX)):
            with contextlib.closing(self._begin(call)) as answer:
                try:
                    return save(answer)
                except DownloadBroken:
                    if not anew or not left:
                        raise
            self._avoid(answer.node)
        raise AssertionError("the last answer was returned, or its error raised")

    def _avoid(self, node: str) -> None:
        """Ask another node first, from now on."""
        if others := [url for url in self._nodes.in_turn() if url != node]:
            self._nodes.prefer(others[0])

    def _begin(self, call: Call[object]) -> OpenedAnswer:
        asking = Asking(call, self._nodes, self._times, time.monotonic)
        while True:
            attempt, sockets = asking.begin(), OpenSockets()
            try:
                response = self._attempt(call, attempt, sockets)
            except QuorateError as error:
                sockets.close()
                time.sleep(asking.failed(error))
            else:
                asking.answered()
                return OpenedAnswer(attempt.node, response, sockets)

    def _attempt(self, call: Call[object], attempt: NextAttempt, sockets: OpenSockets) -> requests.Response:
        node = attempt.node
        # A node may be silent for longer in its answer than before it.
        late = threading.Timer(attempt.answer_s, sockets.shut)
        late.daemon = True
        late.start()
        try:
            response = self._session(sockets).get(
                node + call.path,
                params=call.given_params(),
                timeout=(attempt.connect_s, SILENCE_S),
                stream=True,
                allow_redirects=False,
            )
            if response.status_code < 300:
                return response
            with response:
                body = next(response.iter_content(ERROR_BYTES_MAX), b"")
        except requests.RequestException as error:
            if sockets.is_shut:
                raise OutcomeUnknown(f"{node} did not answer in time{by_way_of(node)}") from None
            raise transport_error(node, error, by_way_of(node)) from None
        finally:
            late.cancel()
        raise answer_error(response.status_code, body, response.headers, node, by_way_of(node))

    def _session(self, sockets: OpenSockets) -> WebSession:
        session = WebSession(origins=1, connections=1, pools=pools_by_scheme(sockets))
        session.headers.update(self._headers)
        if self._ca is not None:
            session.verify = self._ca
        return session
