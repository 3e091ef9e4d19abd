"""The stages of a measurement: so many clients for so long, each after a warm-up that does not count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from quorate.benchmark.loading import StageCounts, VoteSending, VotingLoop
from quorate.errors import QuorateError

LOOK_S = 0.1
SETTLE_S = 15.0  # in the end: for requests whose outcome is unknown
WARM_UP_SHARE, WARM_UP_MAX_S = 0.2, 1.0


class StageFigures(msgspec.Struct):
    """What one stage measured. Latencies are in milliseconds, of confirmed requests, with all their attempts.

    `refused` and `unknown` count attempts by reason. `client_cpu` is the share of one core that the client took.
    """

    clients: int
    seconds: float
    requests: int
    votes: int
    votes_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    refused: dict[str, int]
    unknown: dict[str, int]
    client_cpu: float
    ended_early: bool


@dataclass(frozen=True, slots=True)
class StageView:
    """For a display, while it runs."""

    clients: int
    done_s: float  # of all stages
    votes_per_s: float


class Stages:
    """`is_stopped` is asked all the time: then what is on its way is settled, and nothing more is sent.

    `ids_max` ids are sent at most, the same share of them in each stage.
    """

    def __init__(
        self,
        sending: VoteSending,
        clients: Sequence[int],
        duration_s: float,
        ids_max: int,
        is_stopped: Callable[[], bool],
        show: Callable[[StageView], None],
    ) -> None:
        self._sending, self._clients, self._duration_s = sending, clients, duration_s
        self._ids_max, self._is_stopped, self._show = ids_max, is_stopped, show
        self.figures: list[StageFigures] = []
        self.in_doubt = 0  # votes that may have been counted, and nobody said so

    async def run(self) -> None:
        """Raises the error of a request that no later one can be without, as for a token that may not vote."""
        for place, clients in enumerate(self._clients):
            self._sending.ids_max = self._ids_max * (place + 1) // len(self._clients)
            await self._stage(place, clients)
            if self._is_over:
                break
        if (error := self._sending.fatal) is not None:
            raise error

    @property
    def _is_over(self) -> bool:
        return self._is_stopped() or self._sending.fatal is not None

    async def _stage(self, place: int, clients: int) -> None:
        sending = self._sending
        sending.running = True
        loops = [VotingLoop(sending, place) for place in range(clients)]
        tasks = [asyncio.create_task(loop.run()) for loop in loops]
        try:
            await self._until(min(WARM_UP_MAX_S, self._duration_s * WARM_UP_SHARE), tasks, lambda _: None)
            sending.counts = StageCounts()
            start_s, cpu_s = time.perf_counter(), time.process_time()
            await self._until(self._duration_s, tasks, lambda done_s: self._tell(place, clients, done_s))
            took_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_s
            ended_early = sending.running and not self._is_over and not sending.may_begin
            self.figures.append(_figures(sending, clients, took_s, cpu_s, ended_early))
        finally:
            await self._settle(loops, tasks)

    def _tell(self, place: int, clients: int, done_s: float) -> None:
        rate = self._sending.counts.votes / done_s if done_s > LOOK_S else 0.0
        self._show(StageView(clients, place * self._duration_s + done_s, rate))

    async def _until(
        self, duration_s: float, tasks: Sequence[asyncio.Task[None]], tell: Callable[[float], None]
    ) -> None:
        """Return when the time is over, or earlier if no client may go on."""
        sending = self._sending
        start_s = time.perf_counter()
        while (done_s := time.perf_counter() - start_s) < duration_s and not self._is_over:
            if not sending.may_begin and all(task.done() for task in tasks):
                return
            tell(done_s)
            await asyncio.sleep(min(LOOK_S, duration_s - done_s))

    async def _settle(self, loops: Sequence[VotingLoop], tasks: Sequence[asyncio.Task[None]]) -> None:
        """Wait until the outcome of each request is known. Those that stay unknown are in doubt."""
        self._sending.running = False
        _, late = await asyncio.wait(tasks, timeout=SETTLE_S)
        for task in late:
            task.cancel()
        for failed in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(failed, Exception) and not isinstance(failed, QuorateError):
                raise failed
        self.in_doubt += sum(loop.in_doubt for loop in loops) * self._sending.requests.votes


def _figures(sending: VoteSending, clients: int, took_s: float, cpu_s: float, ended_early: bool) -> StageFigures:
    times_s = sorted(sending.counts.took_s)
    number = len(times_s)
    p50, p99, longest = (times_s[min(number - 1, int(number * q))] * 1e3 if number else 0.0 for q in (0.5, 0.99, 1.0))
    return StageFigures(
        clients=clients,
        seconds=round(took_s, 3),
        requests=number,
        votes=sending.counts.votes,
        votes_per_s=round(sending.counts.votes / took_s, 1),
        p50_ms=round(p50, 3),
        p99_ms=round(p99, 3),
        max_ms=round(longest, 3),
        refused=dict(sending.counts.refused),
        unknown=dict(sending.counts.unknown),
        client_cpu=round(cpu_s / took_s, 3),
        ended_early=ended_early,
    )
