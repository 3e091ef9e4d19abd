"""Sends the requests of a client that may wait, by `requests`. Threads may share it."""

from __future__ import annotations

import contextlib
import time
from typing import TypeVar

import requests

from quorate.client.asking import Asking, NextAttempt, NodeUrls, RetryTimes
from quorate.client.calls import Call, ClientReply
from quorate.client.error_replies import answer_error, transport_error
from quorate.errors import QuorateError
from quorate.web.session import WebSession
from quorate.web.words import by_way_of

T = TypeVar("T")
CONNECTIONS = 32  # that are kept to each node: as many threads may ask at once without connecting anew


class NodeAsker:
    """`token` is sent with every request. `ca` is a file of the certificates whose signature is trusted."""

    def __init__(self, nodes: NodeUrls, *, token: str | None = None, ca: str | None = None) -> None:
        self.nodes, self.token, self.ca = nodes, token, ca
        self._session = WebSession(origins=max(4, len(nodes.urls)), connections=CONNECTIONS)
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"
        if ca is not None:
            self._session.verify = ca

    def close(self) -> None:
        self._session.close()

    def ask(self, call: Call[T], patience: RetryTimes) -> ClientReply:
        """Ask until a node answers or the time is over."""
        self.find_nodes()
        asking = Asking(call, self.nodes, patience, time.monotonic)
        while True:
            try:
                reply = self._attempt(call, asking.begin())
            except QuorateError as error:
                pause_s = asking.failed(error)
            else:
                asking.answered()
                return reply
            time.sleep(pause_s)
            if asking.wants_nodes:
                self.find_again(asking)

    def find_nodes(self) -> None:
        """Raises `NoLeader` if none are known and none can be found."""
        if not self.nodes.urls and self.nodes.find is not None:
            self.nodes.replace(self.nodes.find())

    def find_again(self, asking: Asking) -> None:
        with contextlib.suppress(QuorateError):  # then those that are known are asked again
            assert self.nodes.find is not None
            asking.go_on_with(self.nodes.find())

    def _attempt(self, call: Call[T], attempt: NextAttempt) -> ClientReply:
        node = attempt.node
        try:
            response = self._session.request(
                call.method,
                node + call.path,
                data=call.body,
                headers=call.all_headers(),
                params=call.given_params(),
                timeout=(attempt.connect_s, attempt.answer_s),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise transport_error(node, error, by_way_of(node)) from None
        if response.status_code >= 300:
            by = by_way_of(node)
            raise answer_error(response.status_code, response.content, response.headers, node, by)
        return ClientReply.of(response.status_code, response.content, node, response.headers)
