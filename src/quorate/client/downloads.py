"""Reads an answer that is too big to hold, piece by piece, from the first node that gives it whole.

An answer that breaks off is begun anew, at another node, where its reader can begin anew. Only for requests that
change nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import requests

from quorate.client.asking import Asking, NextAttempt, NodeUrls, RetryTimes
from quorate.client.calls import Call
from quorate.client.error_replies import answer_error, transport_error
from quorate.errors import NoLeader, QuorateError
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
    """An answer that has begun. `pieces` raises `DownloadBroken` if it breaks off."""

    def __init__(self, node: str, response: requests.Response) -> None:
        self.node, self._response = node, response

    def pieces(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_content(PIECE_BYTES)
        except requests.RequestException as error:
            silent = isinstance(error, requests.Timeout) or "timed out" in str(error)
            why = f"sent nothing more for {SILENCE_S:.0f} s" if silent else "broke the connection"
            raise DownloadBroken(f"{self.node} {why} in the middle of its answer") from None


class Downloader:
    """`timeout_s`: how long to look for a node that answers. The answer itself may take as long as it comes."""

    def __init__(self, nodes: NodeUrls, *, timeout_s: float, token: str | None = None, ca: str | None = None) -> None:
        self._nodes, self._timeout_s = nodes, timeout_s
        self._session = WebSession(origins=max(1, len(nodes.urls)), connections=1)
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"
        if ca is not None:
            self._session.verify = ca

    def close(self) -> None:
        self._session.close()

    def read(self, path: str, params: Mapping[str, str], save: Callable[[OpenedAnswer], T], *, anew: bool) -> T:
        """What `save` returns of the answer. With `anew` it is called again if an answer broke off, with another one.

        Raises `DownloadBroken`, and whatever `save` raises.
        """
        call: Call[object] = Call("GET", path, lambda reply: reply, params=params)
        for left in reversed(range(BROKEN_MAX)):
            node, response = self._begin(call)
            with response:
                try:
                    return save(OpenedAnswer(node, response))
                except DownloadBroken:
                    if not anew or not left:
                        raise
            self._avoid(node)
        raise AssertionError("the last answer was returned, or its error raised")

    def _avoid(self, node: str) -> None:
        """Ask another node first, from now on."""
        if others := [url for url in self._nodes.in_turn() if url != node]:
            self._nodes.prefer(others[0])

    def _begin(self, call: Call[object]) -> tuple[str, requests.Response]:
        asking = Asking(call, self._nodes, RetryTimes(self._timeout_s, self._timeout_s), time.monotonic)
        while True:
            attempt = asking.begin()
            try:
                response = self._attempt(call, attempt)
            except QuorateError as error:
                time.sleep(asking.failed(error))
            else:
                asking.answered()
                return attempt.node, response

    def _attempt(self, call: Call[object], attempt: NextAttempt) -> requests.Response:
        node = attempt.node
        timeout_s = attempt.connect_s, max(attempt.answer_s, SILENCE_S)
        try:
            response = self._session.get(
                node + call.path, params=call.given_params(), timeout=timeout_s, stream=True, allow_redirects=False
            )
            if response.status_code < 300:
                return response
            with response:
                body = response.raw.read(ERROR_BYTES_MAX, decode_content=True)
        except requests.RequestException as error:
            raise transport_error(node, error, by_way_of(node)) from None
        raise answer_error(response.status_code, body, response.headers, node, by_way_of(node))
