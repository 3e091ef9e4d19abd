"""A cluster of stock PySyncObj nodes, as the library is when it is installed: its log, its dump, its answers."""

from __future__ import annotations

import logging
import pickle
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated
from pysyncobj.transport import Transport

from tests.stock import stock
from tests.stock.net import ClientOutcome, Net

TICK_S = 0.05  # its autoTickPeriod
WAKE_S = 0.0005  # its poll() returns when something arrives
CALL_S = 1e-9  # what a look at the clock takes: without it, loops of the library that wait for time to pass never end

OUTCOMES: dict[int, ClientOutcome] = {FAIL_REASON.SUCCESS: "success", FAIL_REASON.UNKNOWN_OUTCOME: "unknown"}
KINDS = {"next_node_idx": "appended", "request_vote": "request", "response_vote": "ballot"}

logging.getLogger("pysyncobj").setLevel(logging.CRITICAL + 1)  # it logs what is shown here, with tracebacks


class Counter(SyncObj):  # type: ignore[misc]  # PySyncObj has no annotations
    """A counter as one writes it with the library: attributes set after its constructor are state."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.tags: list[str] = []
        self.pad: object = b""

    @replicated  # type: ignore[untyped-decorator]
    def add(self, tag: str, pad: bytes = b"") -> int:
        self.tags.append(tag)
        return len(self.tags)

    @replicated  # type: ignore[untyped-decorator]
    def fail(self, tag: str) -> None:
        raise ValueError("a mistake in a replicated method")


def private(node: Any, name: str) -> Any:
    """A private attribute of the library's own class."""
    return getattr(node, f"_SyncObj__{name}")


class End(Transport):  # type: ignore[misc]  # PySyncObj has no annotations
    """One node's transport in the simulated network."""

    def __init__(self, net: StockNet, node: Any, me: Any, others: Iterable[Any]) -> None:
        super().__init__(node, me, others)
        self.net, self.name = net, str(me.id)
        self.wanted = {str(other.id) for other in others}
        self.connection: dict[str, int] = {}
        self._serial = 0

    def send(self, node: Any, message: dict[str, Any]) -> bool:
        peer = str(node.id)
        self.net.loop.spend(self.net.send_s)
        if peer not in self.connection:
            return False
        data = pickle.dumps(message)  # a copy, as the wire makes one
        self.net.wire.post(self.name, peer, message, lambda there: there.arrive(self.name, data))
        return True

    def arrive(self, source: str, data: bytes) -> None:
        self.net.when_free(self.name, lambda: self.net.deliver(source, self.name, pickle.loads(data)))

    def knows_way_to(self, peer: End) -> bool:
        """What the simulated network asks. Stock's nodes never move."""
        return peer.name in self.wanted

    def connect(self, peer: str) -> None:
        if peer not in self.connection:
            self._serial += 1
            self.connection[peer] = self._serial
            self._onNodeConnected(stock.RaftNode(peer))

    def disconnect(self, peer: str) -> None:
        if self.connection.pop(peer, None) is not None:
            self._onNodeDisconnected(stock.RaftNode(peer))

    def addNode(self, node: Any) -> None:
        self.wanted.add(str(node.id))

    def dropNode(self, node: Any) -> None:
        self.wanted.discard(str(node.id))


class StockNet(Net):
    """`settings` are those of `SyncObjConf`. With `folder`, nodes keep a journal and a dump there."""

    def __init__(
        self,
        seed: int = 0,
        *,
        folder: Path | None = None,
        dump: bool = True,
        send_s: float = 0.0,
        make: Callable[..., Any] = Counter,
        **settings: Any,
    ) -> None:
        super().__init__(seed, **settings)
        random.seed(seed)  # the library draws its election timeouts from this one
        self.folder, self.dump, self.send_s, self.make = folder, dump, send_s, make
        self.nodes: dict[str, Any] = {}
        self.errors: list[tuple[float, str, Exception]] = []  # those that came out of a tick or a message
        self._busy_until_s: dict[str, float] = {}
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def _now(self) -> float:
        self.loop.spend(CALL_S)
        return self.loop.time()

    def start(self, name: str, make: Callable[..., Any] | None = None) -> None:
        files: dict[str, Any] = {}
        if self.folder is not None:
            files["journalFile"] = str(self.folder / f"{name}.journal")
            files["fullDumpFile"] = str(self.folder / f"{name}.dump") if self.dump else None
        conf = {"raftMinTimeout": 0.4, "raftMaxTimeout": 1.4, "useFork": False, **files, **self.settings}
        node = (make or self.make)(
            stock.RaftNode(name),
            [stock.RaftNode(other) for other in self.others(name)],
            SyncObjConf(autoTick=False, **conf),
            nodeClass=stock.RaftNode,
            transportClass=lambda node, me, others: End(self, node, me, others),
        )
        self.nodes[name] = node
        self.wire.ends[name] = private(node, "transport")
        self._settle()
        self._tick_later(name, node, random.Random(f"{self.seed} {name}").random() * TICK_S)

    def crash(self, name: str) -> None:
        del self.nodes[name], self.wire.ends[name]
        self._settle()

    def up(self) -> Iterable[str]:
        return self.nodes

    def leads(self, name: str) -> bool:
        return bool(self.nodes[name]._isLeader())

    def term(self, name: str) -> int:
        return int(self.nodes[name].raftCurrentTerm)

    def last_index(self, name: str) -> int:
        return int(private(self.nodes[name], "raftLog")[-1][1])

    def tags(self, name: str) -> list[str]:
        return list(self.nodes[name].tags)

    def propose(self, name: str, tag: str, pad: bytes = b"") -> None:
        self.nodes[name].add(tag, pad, callback=self.answer(tag))

    def ask(self, name: str, tag: str) -> None:
        self.propose(name, tag)

    def answer(self, tag: str) -> Callable[[Any, int], None]:
        def told(result: Any, reason: int) -> None:
            self.outcomes.setdefault(tag, OUTCOMES.get(reason, "no"))

        return told

    def hand_over(self, leader: str, to: str) -> None:
        self.nodes[leader].transferLeadership(stock.RaftNode(to))

    def deliver(self, source: str, target: str, message: Any) -> None:
        node = self.nodes[target]
        try:
            private(node, "transport")._onMessageReceived(stock.RaftNode(source), message)
        except Exception as error:  # its thread logs it and goes on
            self.errors.append((self.now_s, target, error))
        self._tick_later(target, node, WAKE_S, again=False)

    @staticmethod
    def kind(message: Any) -> str:
        kind = str(message["type"])
        if kind == "append_entries":
            if "serialized" in message:
                return "snapshot"
            return "append" if message.get("entries") or "transmission" in message else "heartbeat"
        return KINDS.get(kind, kind)

    @staticmethod
    def node(name: str) -> Any:
        """A node as the library's own tables name it."""
        return stock.RaftNode(name)

    # ---- ticks ------------------------------------------------------------------------------------------------------

    def tick(self, name: str) -> None:
        try:
            self.nodes[name].doTick(0)
        except Exception as error:  # its thread logs it and goes on
            self.errors.append((self.now_s, name, error))

    def _tick_later(self, name: str, node: Any, after_s: float, *, again: bool = True) -> None:
        def tick() -> None:
            if self.nodes.get(name) is node:
                self.when_free(name, lambda: self.tick(name))
                if again:
                    self._tick_later(name, node, TICK_S)

        self.loop.call_later(after_s, tick)

    def stall(self, name: str, seconds: float) -> None:
        """Let the node's current step take `seconds`. Meanwhile it hears nothing and does nothing."""
        self._busy_until_s[name] = self.now_s + seconds
        self._waiting[name] = []
        self.loop.call_later(seconds, self._go_on, name, self.nodes.get(name))

    def when_free(self, name: str, step: Callable[[], None]) -> None:
        if self.now_s < self._busy_until_s.get(name, 0.0):
            self._waiting[name].append(step)
        else:
            step()

    def _go_on(self, name: str, node: Any) -> None:
        self._busy_until_s.pop(name, None)
        for step in self._waiting.pop(name, []):
            if self.nodes.get(name) is node:
                step()
