"""One measurement: makes its poll, runs the stages, checks the tally, and removes the poll, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from quorate.benchmark.bench_poll import BenchPoll, TallyCheck
from quorate.benchmark.loading import VoteSending
from quorate.benchmark.stages import StageFigures, Stages, StageView
from quorate.benchmark.vote_requests import BenchTarget, VoteRequests
from quorate.client.http import JsonClient
from quorate.errors import QuorateError
from quorate.stop_signals import stop_signals


@dataclass(frozen=True, slots=True)
class WantedBench:
    """What is to be measured, and at which nodes."""

    urls: Sequence[str]
    clients: Sequence[int]
    duration_s: float
    votes_per_request: int
    ids_max: int
    token: str | None
    ca: str | None


@dataclass(slots=True)
class BenchMeasured:
    """What came of it. `check` is None if the tally could not be read; `error` says why it ended early."""

    poll: str
    stages: list[StageFigures]
    confirmed: int = 0
    in_doubt: int = 0
    check: TallyCheck | None = None
    error: QuorateError | None = None
    stopped_by: int | None = None  # a signal
    left: str | None = None  # what to do about the poll, if it could not be removed


class BenchStopping:
    """The first signal ends the measurement, and its poll is still removed. The second one ends that, too."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self, number: int, _: Any) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    @property
    def is_stopped(self) -> bool:
        return self.signal is not None


def measure(client: JsonClient, wanted: WantedBench, show: Callable[[StageView], None]) -> BenchMeasured:
    """Raises the error that kept the poll from being made."""
    poll = BenchPoll(client)
    measured = BenchMeasured(poll.id, [])
    with _handled() as stopping:
        try:
            poll.create()
        except QuorateError as error:
            if not error.definite:
                _remove(poll, measured)
            raise
        try:
            _run_stages(poll, wanted, measured, stopping, show)
        except QuorateError as error:
            measured.error = error
        except KeyboardInterrupt:  # by a second signal
            pass
        finally:
            _remove(poll, measured)
        measured.stopped_by = stopping.signal
    return measured


def _run_stages(
    poll: BenchPoll,
    wanted: WantedBench,
    measured: BenchMeasured,
    stopping: BenchStopping,
    show: Callable[[StageView], None],
) -> None:
    targets = [BenchTarget.of(url, wanted.token) for url in wanted.urls]
    requests = VoteRequests(poll.id, poll.option, wanted.votes_per_request)
    sending = VoteSending(requests, targets, _trusts(targets, wanted.ca))
    stages = Stages(sending, wanted.clients, wanted.duration_s, wanted.ids_max, lambda: stopping.is_stopped, show)
    measured.stages = stages.figures
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(stages.run())
    finally:
        measured.confirmed, measured.in_doubt = sending.confirmed, stages.in_doubt
    measured.check = poll.check(sending.confirmed, stages.in_doubt)


def _remove(poll: BenchPoll, measured: BenchMeasured) -> None:
    try:
        poll.remove()
    except (QuorateError, KeyboardInterrupt) as error:
        measured.left = poll.how_to_remove(error)


def _trusts(targets: Sequence[BenchTarget], ca: str | None) -> ssl.SSLContext | None:
    if not any(target.tls for target in targets):
        return None
    if ca is None:
        import certifi

        ca = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    return ssl.create_default_context(cafile=ca)


@contextlib.contextmanager
def _handled() -> Iterator[BenchStopping]:
    stopping = BenchStopping()
    before = {number: signal.signal(number, stopping) for number in stop_signals()}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
