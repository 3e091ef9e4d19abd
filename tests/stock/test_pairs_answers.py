"""Answers: what stock PySyncObj tells a proposer, and what it does when code outside it fails. One script a pair.

`test_NAME_stock` shows the failure on the library as it is installed, `test_NAME_ours` its absence in our replica.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pysyncobj import SyncObj, replicated

from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft.engine import proposals as proposals_module
from quorate.errors import Halted, Overloaded, QuorateError, TooLarge
from quorate.vote import ENTRY_BYTES_MAX
from tests.stock.net import DROP, Hook, Net
from tests.stock.our_net import OurNet
from tests.stock.stock_net import StockNet, private

# ---- what became of a forwarded command -----------------------------------------------------------------------------


def drop(net: Net, which: Callable[[str, str, str], bool]) -> Hook:
    return lambda source, target, message: DROP if which(source, target, net.kind(message)) else None


def times_counted(net: Net, tag: str) -> list[int]:
    return [net.tags(name).count(tag) for name in net.names]


def test_leader_changed_ambiguous_stock() -> None:
    """A command goes to a follower, which forwards it. In three ways the answer is lost or wrong."""
    with StockNet(1) as net:
        net.start_all("abc")
        follower = net.others(net.elect())[0]
        net.propose(follower, "A")
        net.listen(drop(net, lambda source, target, kind: target == follower))
        net.run(3)
        net.listen(None)
        net.run(5)
        assert ("no", [1, 1, 1]) == (net.outcomes.get("A"), times_counted(net, "A")), "LEADER_CHANGED, yet committed"
    with StockNet(2) as net:
        net.start_all("abc")
        leader = net.elect()
        follower = net.others(leader)[0]
        net.listen(drop(net, lambda source, target, kind: kind == "apply_command"))
        net.propose(follower, "B")
        net.run(0.06)
        net.listen(None)
        net.flap(follower, leader)
        net.run(60)
        assert (None, [0, 0, 0], leader) == (net.outcomes.get("B"), times_counted(net, "B"), net.leader())
    with StockNet(3) as net:
        net.start_all("abc")
        leader = net.elect()
        follower = net.others(leader)[0]
        net.listen(drop(net, lambda source, target, kind: kind == "apply_command_response"))
        net.propose(follower, "C")
        net.run(0.2)
        net.listen(None)
        net.flap(follower, leader)
        net.run(60)
        assert (None, [1, 1, 1], leader) == (net.outcomes.get("C"), times_counted(net, "C"), net.leader())


@pytest.mark.parametrize("lost", ["the answer", "the request", "the answer, and the link breaks"])
def test_leader_changed_ambiguous_ours(lost: str) -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        follower = net.others(leader)[0]
        net.wire.loss[(follower, leader) if lost == "the request" else (leader, follower)] = 1.0
        net.ask(follower, "vote", timeout_s=2.0)
        net.run(0.1)
        if "breaks" in lost:
            net.flap(follower, leader)
        net.run(2.4)
        counted = times_counted(net, "vote")
        assert "unknown" == net.outcomes.get("vote"), "answered by its deadline, with what is true"
        net.wire.loss.clear()
        net.run(5)
        net.ask(follower, "vote", timeout_s=2.0)
        net.run(1)
        assert "success" == net.outcomes.get("vote"), "sent again under the same id"
        assert [1, 1, 1] == times_counted(net, "vote"), f"{counted} before it was sent again"


# ---- code that raises -----------------------------------------------------------------------------------------------


def mistake(*_: object) -> None:
    raise RuntimeError("a mistake in the caller's code")


def test_callback_raises_stock() -> None:
    with StockNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.nodes[leader].add("x", callback=mistake)
        net.run(3)
        assert 2 == net.tags(leader).count("x"), "applied again with the next tick"
        assert [1, 1] == [net.tags(name).count("x") for name in net.others(leader)]


def test_callback_raises_ours() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.loop.set_exception_handler(lambda loop, context: None)  # it would only print the mistake
        for name in net.names:
            net.replicas[name].on_applied(mistake)
            net.replicas[name].on_leadership(mistake)

        async def propose() -> None:
            net.replicas[leader].propose(net.entry("x")).add_done_callback(mistake)

        net.wait_for(propose())
        net.propose(leader, "y")
        net.run(3)
        assert {name: ["x", "y"] for name in "abc"} == {name: net.tags(name) for name in "abc"}
        assert {} == net.halted


def test_apply_raises_stock() -> None:
    with StockNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.propose(leader, "before")
        net.run(1)
        net.nodes[leader].fail("it", callback=net.answer("it"))
        net.run(1)
        net.propose(leader, "after")
        net.run(20)
        tries = Counter(name for _, name, _ in net.errors)
        assert min(tries[name] for name in "abc") > 100, "each node tries it again with each tick"
        assert {"before": "success"} == net.outcomes, "and nothing is answered any more"


def test_apply_raises_ours(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Such an error is a bug of ours, the same on every node. The nodes stop, say where, and keep the entry."""
    tries = []
    apply = StateMachine.apply

    def failing(state: StateMachine, entry: bytes) -> Any:
        if b"it raises" in entry:
            tries.append(entry)
            raise ValueError("a mistake in the state machine")
        return apply(state, entry)

    with OurNet(1) as net, monkeypatch.context() as mistaken:
        mistaken.setattr(StateMachine, "apply", failing)
        net.start_all("abc")
        leader = net.elect()
        net.propose(leader, "before")
        net.run(1)
        index = net.last_index(leader) + 1
        net.propose(leader, "it raises")
        net.propose(leader, "after")
        net.run(20)
        assert {"before": "success", "it raises": "unknown", "after": "unknown"} == net.outcomes
        assert leader in net.halted
        assert all(isinstance(error, Halted) for error in net.halted.values())
        assert len(net.halted) == len(tries), "each tries it once"
        assert len(tries) == caplog.text.count(f"entry {index} of term 1 cannot be applied: ValueError")
        assert b"it raises" in caplog.text.encode()
        assert {index - 1} == {net.engine(name).applied_index for name in "abc"}
        for name in "abc":
            net.crash(name)
        mistaken.undo()
        for name in "abc":
            net.start(name)
        net.elect()
        net.run(1)
        assert {name: ["before", "it raises", "after"] for name in "abc"} == {name: net.tags(name) for name in "abc"}


# ---- what this version cannot read ----------------------------------------------------------------------------------


class Old(SyncObj):  # type: ignore[misc]  # PySyncObj has no annotations
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.value = 0

    @replicated  # type: ignore[untyped-decorator]
    def add(self, number: int) -> None:
        self.value += number


class New(Old):
    @replicated(ver=1)  # type: ignore[untyped-decorator]
    def subtract(self, number: int) -> None:
        self.value -= number


def test_wrong_version_double_apply_stock() -> None:
    with StockNet(4, make=New) as net:
        net.names = list("abc")
        for name in "ab":
            net.start(name)
        assert net.until(net.leader)
        net.start("c", Old)
        net.run(3)
        leader = net.leader()
        assert leader is not None
        net.nodes[leader].add(1)
        net.run(1)
        net.nodes[leader].setCodeVersion(1)
        net.nodes[leader].add(10)
        net.run(3)
        assert (11, 21) == (net.nodes[leader].value, net.nodes["c"].value), "what came behind it was applied twice"


def test_wrong_version_double_apply_ours() -> None:
    """An entry that cannot be read is one version on every node; one of a kind that is not known is not taken."""
    with OurNet(4) as net:
        net.start_all("abc")
        leader = net.elect()
        versions = {net.replicas[name].state.version for name in "abc"}
        assert 1 == len(versions)
        before = versions.pop()
        net.propose_raw(leader, b"\x00" + b"\xc1 no entry")
        net.propose(leader, "x")
        net.run(1)
        assert {before + 2} == {net.replicas[name].state.version for name in "abc"}
        assert {name: ["x"] for name in "abc"} == {name: net.tags(name) for name in "abc"}
        applied = net.engine(leader).applied_index
        net.propose_raw(leader, b"\x07 of a later version")
        net.propose(leader, "y")
        net.run(3)
        assert {} == net.halted
        assert {applied} == {net.engine(name).applied_index for name in "abc"}
        assert {name: ["x"] for name in "abc"} == {name: net.tags(name) for name in "abc"}
        assert "y" not in net.outcomes, "it stands behind one that nobody takes"


# ---- full, and slow -------------------------------------------------------------------------------------------------


def test_pipe_full_stock() -> None:
    """Each call writes a byte to a pipe that the tick empties; one that fails has queued its command already."""
    with StockNet(1, appendEntriesUseBatch=False) as net:
        net.start_all("a")
        node = net.nodes[net.elect()]
        pipe = private(node, "pipeNotifier")._PipeNotifier__pipeW
        room = fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096) if sys.platform == "linux" else 65536
        refused = []
        for number in range(room + 20):
            try:
                node.add(f"{number}")
            except BlockingIOError:
                refused.append(f"{number}")
        net.run(1)
        assert 20 == len(refused)
        assert set(refused) < set(node.tags), "the caller saw an exception, and it was applied"


def test_pipe_full_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals_module, "OPEN_BYTES_MAX", 100_000)
    with OurNet(1) as net:
        net.start_all("a")
        errors: dict[str, QuorateError] = {}

        async def propose_all() -> None:
            for number in range(5_000):
                tag = f"{number}"
                answer = net.replicas["a"].propose(net.entry(tag))
                answer.add_done_callback(functools.partial(keep, tag))

        def keep(tag: str, answer: asyncio.Future[Any]) -> None:
            error = answer.exception()
            if error is not None:
                assert isinstance(error, QuorateError)
                errors[tag] = error

        net.wait_for(propose_all())
        net.run(5)
        assert 0 < len(errors) < 5_000
        assert all(type(error) is Overloaded and error.definite for error in errors.values())
        assert set() == set(errors) & set(net.tags("a")), "what was refused was not applied"
        assert 5_000 == len(errors) + len(net.tags("a"))


def test_an_entry_over_the_limit_is_refused_for_good() -> None:
    limit = ENTRY_BYTES_MAX + proposals_module.ENVELOPE_BYTES
    with OurNet(1) as net:
        net.start_all("a")

        async def propose() -> None:
            with pytest.raises(TooLarge, match=f"the limit is {limit:,}"):
                await net.replicas["a"].propose(bytes(limit + 1))

        net.wait_for(propose())


def latencies_s(net: Net) -> list[float]:
    """One proposer that waits for each answer, at the leader of an idle cluster."""
    net.start_all("abc")
    leader = net.elect()
    took = []
    for number in range(30):
        began_s = net.now_s
        net.propose(leader, f"x{number}")
        assert net.until(lambda: f"x{number}" in net.outcomes, limit_s=5)  # noqa: B023  # waited for here
        took.append(net.now_s - began_s)
    assert 30 == net.told("success")
    return took


def test_batching_latency_stock() -> None:
    with StockNet(1) as net:
        assert statistics.median(latencies_s(net)) > 0.08, "it waits for the next period, though nothing else is to do"


def test_batching_latency_ours() -> None:
    with OurNet(1) as net:
        round_trip_and_syncs_s = 2 * 0.004 + 2 * 0.003
        assert max(latencies_s(net)) < 2 * round_trip_and_syncs_s
