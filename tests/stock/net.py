"""The surroundings of both kinds of nodes: virtual time, connections like TCP's, and faults.

A connection carries messages in order, each after a delay. Both ends notice a cut at once, and messages on their way
are lost. A hook sees every message and may drop it or make it late, as on an old connection that is read after the new
one. `StockNet` and `OurNet` have the same methods, so that one script runs on both.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, TypeVar

import pysyncobj.syncobj

from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network

N = TypeVar("N", bound="Net")

ClientOutcome = Literal["success", "no", "unknown"]
DROP = "drop"
# Sees (from, to, message), and answers DROP, seconds to be late by, or None.
Hook = Callable[[str, str, Any], float | str | None]


class PacedLoop(VirtualLoop):
    """Virtual time in which work may take time as well."""

    def spend(self, seconds: float) -> None:
        self._clock.now_s += seconds


class Wire(Network):
    """Connections that keep the order of messages, as TCP does, unless the hook makes a message late."""

    def __init__(self, loop: PacedLoop, rng: random.Random, delay_s: tuple[float, float], message_s: float) -> None:
        super().__init__(loop, rng)
        self.delay_s, self.message_s = delay_s, message_s  # a message occupies its link for so long
        self.hook: Hook | None = None
        self._free_s: dict[tuple[str, str], float] = {}

    def post(self, source: str, target: str, message: Any, deliver: Any) -> None:
        late = None if self.hook is None else self.hook(source, target, message)
        if late != DROP:
            self.carry(source, target, deliver, late_s=float(late or 0.0))

    def carry(self, source: str, target: str, deliver: Any, late_s: float = 0.0, *, once: bool = True) -> None:
        """Nothing is repeated here, so `once` always holds."""
        self.messages += 1
        if target not in self.ends or self.rng.random() < self.loss.get((source, target), 0.0):
            return
        here, there = self.ends[source], self.ends[target]
        connection = here.connection.get(target), there.connection.get(source)

        def arrive() -> None:
            if (here.connection.get(target), there.connection.get(source)) == connection and None not in connection:
                deliver(there)

        at_s = self.loop.time() + self.rng.uniform(*self.delay_s)
        if late_s:
            self.loop.call_at(at_s + late_s, arrive)
            return
        at_s = max(at_s, self._free_s.get((source, target), 0.0) + 1e-7) + self.message_s
        self._free_s[source, target] = at_s
        self.loop.call_at(at_s, arrive)


class Net(ABC):
    """A cluster. Use it as a context: meanwhile it replaces PySyncObj's clock."""

    def __init__(
        self, seed: int = 0, *, delay_s: tuple[float, float] = (0.001, 0.004), message_s: float = 0.0, **settings: Any
    ) -> None:
        self.seed, self.settings = seed, settings
        self._runner = asyncio.Runner(loop_factory=PacedLoop)
        loop = self._runner.get_loop()
        assert isinstance(loop, PacedLoop)
        self.loop = loop
        self.wire = Wire(loop, random.Random(f"wire {seed}"), delay_s, message_s)
        self.names: list[str] = []
        self.outcomes: dict[str, ClientOutcome] = {}  # tag -> what its proposer was told
        self._clock = pysyncobj.syncobj.monotonicTime

    def __enter__(self: N) -> N:
        pysyncobj.syncobj.monotonicTime = self._now
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pysyncobj.syncobj.monotonicTime = self._clock
        for name in list(self.up()):
            self.crash(name)
        self._runner.close()

    @abstractmethod
    def _now(self) -> float: ...

    # ---- nodes ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def start(self, name: str) -> None: ...

    @abstractmethod
    def crash(self, name: str) -> None:
        """Kill the process; its disk keeps what was written."""

    @abstractmethod
    def up(self) -> Iterable[str]: ...

    @abstractmethod
    def leads(self, name: str) -> bool:
        """Whether the node itself says that it leads."""

    @abstractmethod
    def term(self, name: str) -> int: ...

    @abstractmethod
    def last_index(self, name: str) -> int: ...

    @abstractmethod
    def tags(self, name: str) -> list[str]:
        """The counted tags of a node; a tag is listed as often as it was counted."""

    @abstractmethod
    def propose(self, name: str, tag: str, pad: bytes = b"") -> None:
        """Ask a leader to count a tag, with `pad` beside it. `outcomes` tells what it answered."""

    @abstractmethod
    def ask(self, name: str, tag: str) -> None:
        """Ask any node to count a tag, as a client does: the leader counts it in the end."""

    @abstractmethod
    def hand_over(self, leader: str, to: str) -> None:
        """Ask for a transfer of leadership."""

    @abstractmethod
    def deliver(self, source: str, target: str, message: Any) -> None:
        """Deliver a message to a node now, as if it had been on its way for long."""

    def start_all(self, names: str) -> None:
        self.names = list(names)
        for name in names:
            self.start(name)

    def leader(self, among: Iterable[str] | None = None) -> str | None:
        found = [(self.term(name), name) for name in self.up() if self.leads(name)]
        return max((each for each in found if among is None or each[1] in among), default=(0, None))[1]

    def elect(self, among: Iterable[str] | None = None) -> str:
        """Wait for a leader, and for a second more."""
        among = None if among is None else list(among)
        assert self.until(lambda: self.leader(among) is not None), f"seed {self.seed}: no leader"
        self.run(1.0)
        leader = self.leader(among)
        assert leader is not None
        return leader

    def others(self, *names: str) -> list[str]:
        return [name for name in self.names if name not in names]

    def propose_all(self, name: str, what: str, count: int, *, each_s: float = 0.0, pad_bytes: int = 0) -> list[str]:
        """Propose `count` tags, at once or one every `each_s` seconds. Returns their names, which do not compress."""
        rng = random.Random(f"{what} {self.seed}")
        tags = [f"{what} {number} {rng.getrandbits(64):x}" for number in range(count)]
        for tag in tags:
            self.propose(name, tag, rng.randbytes(pad_bytes))
            if each_s:
                self.run(each_s)
        return tags

    def told(self, outcome: ClientOutcome, tags: Iterable[str] | None = None) -> int:
        return sum(self.outcomes.get(tag) == outcome for tag in (self.outcomes if tags is None else tags))

    # ---- time -------------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self.loop.time()

    def run(self, seconds: float) -> None:
        self._runner.run(asyncio.sleep(seconds))

    def until(self, condition: Callable[[], object], *, limit_s: float = 60.0) -> bool:
        async def wait() -> bool:
            end_s = self.loop.time() + limit_s
            while not condition():
                if self.loop.time() > end_s:
                    return False
                await asyncio.sleep(0.002)
            return True

        return self._runner.run(wait())

    # ---- links ------------------------------------------------------------------------------------------------------

    def partition(self, *sides: Iterable[str]) -> None:
        """Nodes of different sides do not reach each other; without sides, all do."""
        groups = [set(side) for side in sides]
        self.wire.cut = {frozenset((a, b)) for g in groups for h in groups if g is not h for a in g for b in h}
        self._settle()

    def heal(self) -> None:
        self.partition()

    def flap(self, a: str, b: str) -> None:
        async def flap() -> None:
            self.wire.flap(a, b)

        self._runner.run(flap())

    def _settle(self) -> None:
        async def settle() -> None:
            self.wire.settle()

        self._runner.run(settle())

    def listen(self, hook: Hook | None) -> None:
        self.wire.hook = hook

    @staticmethod
    @abstractmethod
    def kind(message: Any) -> str:
        """append (with entries), heartbeat, appended, snapshot, request, ballot; or what the message calls itself."""
