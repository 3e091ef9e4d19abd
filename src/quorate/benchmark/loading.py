"""Clients that send votes as fast as a cluster confirms them: each waits for its answer before it sends the next.

They are small HTTP/1.1 and nothing else, so that the cluster is measured and not the client. Their rule for retries is
that of `quorate.Client`: a request without an answer is sent again, unchanged, at the next node, until its outcome is
known. Every vote has an id, so that is safe. The time of a request has all its attempts in it.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec

from quorate.benchmark.vote_requests import BenchTarget, VoteRequests
from quorate.client.error_replies import NoNode, answer_error
from quorate.errors import QuorateError
from quorate.unreadable import UNREADABLE
from quorate.vote import Tallied

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\r\nretry-after: *([0-9.]+)", re.IGNORECASE)
ANSWER_S = 6.5  # a node answers what it does not know after http.timeout_ms, 5 s by default
AGAIN_S, AGAIN_MAX_S = 0.05, 1.0
CONNECT_S = 2.0
NOT_REACHED = "not reached"

_decode = msgspec.json.Decoder(Tallied).decode


@dataclass(slots=True)
class StageCounts:
    """What was measured since the warm-up ended. `refused` and `unknown` count attempts, by reason: those that were
    refused for now, and those without an answer that tells. Both are sent again."""

    took_s: list[float] = field(default_factory=list)
    votes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


class VoteSending:
    """What the clients of a run share: numbers, and what became of the requests.

    `ids_max`: so many ids may be sent in all; then no further request is begun.
    """

    def __init__(self, requests: VoteRequests, targets: Sequence[BenchTarget], trusts: ssl.SSLContext | None) -> None:
        self.requests, self.targets, self.trusts = requests, targets, trusts
        self.heads = [requests.head(target) for target in targets]
        self.number = 0
        self.ids_max = 0
        self.confirmed = 0  # votes, over all stages
        self.running = False
        self.fatal: QuorateError | None = None
        self.counts = StageCounts()

    @property
    def may_begin(self) -> bool:
        return self.running and self.fatal is None and (self.number + 1) * self.requests.votes <= self.ids_max


class VotingLoop:
    """One client. It has one request on its way; `in_doubt` if that may have counted and nobody said so yet."""

    def __init__(self, sending: VoteSending, home: int) -> None:
        self._sending, self._place = sending, home % len(sending.targets)
        self._connection: _VoteConnection | None = None
        self.in_doubt = False

    async def run(self) -> None:
        try:
            while self._sending.may_begin:
                self._sending.number += 1
                await self._until_told(self._sending.requests.body(self._sending.number))
        finally:
            self._leave()

    async def _until_told(self, body: bytes) -> None:
        """Returns when the votes are confirmed, or refused and no longer wanted."""
        sending, begun_s = self._sending, time.perf_counter()
        while True:
            try:
                answer = await self._attempt(body)
            except _NeverSent:
                sending.counts.refused[NOT_REACHED] += 1
                pause_s = AGAIN_S
                self._move()
            except _LostAnswer as error:
                sending.counts.unknown[str(error)] += 1
                self.in_doubt, pause_s = True, AGAIN_S
                self._move()
            else:
                wait_s = self._read(answer)
                if wait_s is None:
                    sending.counts.took_s.append(time.perf_counter() - begun_s)
                    return
                pause_s = wait_s
            if sending.fatal is not None or not (sending.running or self.in_doubt):
                return
            await asyncio.sleep(pause_s)

    def _read(self, answer: bytes) -> float | None:
        """None: it is confirmed. Otherwise seconds until the next attempt."""
        sending = self._sending
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head[9:12]) if head[9:12].isdigit() else 0
        if status == 200:
            try:
                tallied = _decode(body)
            except UNREADABLE:
                sending.fatal = NoNode(f"{sending.targets[self._place].url} does not answer as a Quorate node does")
                return 0.0
            counted = tallied.applied + tallied.duplicates
            sending.confirmed += counted
            sending.counts.votes += counted
            sending.counts.refused.update(each.reason for each in tallied.rejected)
            self.in_doubt = False
            return None
        error = answer_error(status, body, {}, sending.targets[self._place].url)
        if not error.definite:
            sending.counts.unknown[error.kind] += 1
            self.in_doubt = True
            self._move()
            return AGAIN_S
        sending.counts.refused[error.kind] += 1
        if status not in (429, 503):
            sending.fatal = error.about("/votes")
        elif status == 503:
            self._move()
        found = RETRY_AFTER.search(head)
        return min(AGAIN_MAX_S, float(found[1])) if found else AGAIN_S

    async def _attempt(self, body: bytes) -> bytes:
        if self._connection is None or self._connection.is_closed:
            self._connection = await self._connect()
        try:
            return await self._connection.ask(self._sending.heads[self._place] + body)
        except asyncio.CancelledError:
            self.in_doubt = True
            raise

    async def _connect(self) -> _VoteConnection:
        sending = self._sending
        target = sending.targets[self._place]
        loop = asyncio.get_running_loop()
        trusts, name = (sending.trusts, target.host) if target.tls else (None, None)
        try:
            async with asyncio.timeout(CONNECT_S):
                _, made = await loop.create_connection(
                    _VoteConnection, target.host, target.port, ssl=trusts, server_hostname=name
                )
        except (OSError, TimeoutError) as error:
            raise _NeverSent(type(error).__name__) from None
        return made

    def _move(self) -> None:
        """Go to the next node."""
        self._leave()
        self._place = (self._place + 1) % len(self._sending.targets)

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class _NeverSent(Exception):
    """No byte of the request left."""


class _LostAnswer(Exception):
    """The request may have arrived."""


class _VoteConnection(asyncio.Protocol):
    """For one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[bytes] | None = None
        self._rest = b""
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the same methods, but another base class

    async def ask(self, request: bytes) -> bytes:
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bytes] = loop.create_future()
        self._waiting = waiting
        late = loop.call_later(ANSWER_S, self._give_up, "no answer in time")
        self._transport.write(request)
        try:
            return await waiting
        finally:
            late.cancel()
            self._waiting = None
            if not waiting.done() or waiting.cancelled() or waiting.exception() is not None:
                self.close()

    def data_received(self, data: bytes) -> None:
        self._rest = data = self._rest + data if self._rest else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        found = LENGTH.search(data, 0, end)
        if found is None:
            self._give_up("an answer without a length")
        elif len(data) >= end + 4 + int(found[1]):
            self._rest = b""
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._give_up("the connection broke")

    def _give_up(self, why: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(_LostAnswer(why))
        self.close()

    def close(self) -> None:
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()
