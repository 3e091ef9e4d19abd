"""All that is no vote shares a bounded time of the loop, whichever connections it comes from. Votes go first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import pytest

from quorate.doors import waiting_line
from quorate.doors.waiting_line import REST, WORK_S, WaitingLine
from quorate.resp import running as runner
from tests.support.on_loop import on_loop
from tests.support.resp_client import Error, command, xadd
from tests.support.resp_node import RespNode, running
from tests.support.waiting import wait_for

MUCH_S = 30.0  # of work, as if a read had taken so long: a rest begins that is longer than any test


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[RespNode]:
    """A node that counts votes and has no time for reads."""
    monkeypatch.setattr(waiting_line, "STEP_MAX_S", 3 * MUCH_S)
    with running() as node, node.connect() as client:
        node.create()
        client.send(xadd("before"))
        client.reply()
        node.http.call(node.door.line.charge, MUCH_S)
        yield node
        node.http.call(_forgive, node.door.line)


def _forgive(line: WaitingLine) -> None:
    line._worked_s = 0.0


def test_votes_go_first_and_reads_stand_in_line(busy: RespNode) -> None:
    with busy.connect() as reader, busy.connect() as voter:
        reader.send(command("PING") + command("HGETALL", "poll:mood"))
        wait_for("the reader is in the line", lambda: len(busy.door.line._few) == 1)
        for number in range(20):
            voter.send(xadd(number))
            assert isinstance(voter.reply(), str)
        voter.send(b"".join(xadd(f"{option} {number}", option) for number in range(5) for option in ("happy", "sad")))
        assert all(isinstance(reply, str) for reply in voter.replies(10))
        assert {"PING", "HGETALL"}.isdisjoint(busy.door.counts.commands)
        busy.http.call(_end_of_rest, busy.door.line)
        assert ["PONG", ["happy", "26", "sad", "5"]] == reader.replies(2)


def _end_of_rest(line: WaitingLine) -> None:
    assert line._step is not None
    line._step.cancel()
    line._worked_s = 0.0
    line._next_step()


def test_a_command_that_comes_in_parts_stands_in_line_as_well(busy: RespNode) -> None:
    with busy.connect() as client:
        client.send(command("ECHO", "a" * 10_000)[:9_000])
        wait_for("it is in the line", lambda: len(busy.door.line._few) == 1)
        (connection,) = [each for each in busy.connections() if each._again]
        assert 9_000 == connection._parser.left_bytes, "nothing was parsed"


def test_votes_that_are_refused_are_charged() -> None:
    with running(form=False) as node, node.connect() as client:
        node.http.call(setattr, node.door.line, "_begin_step", lambda: None)
        client.send(b"".join(xadd(number) for number in range(300)))
        assert {"LOADING"} == {reply.code for reply in client.replies(300) if isinstance(reply, Error)}
        assert not node.door.line.has_time


@pytest.mark.parametrize("count", [1, 300])
def test_votes_of_a_client_whose_last_ones_were_refused_stand_in_line(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty clients that sent 500 votes for no option again and again had the loop before all others."""
    monkeypatch.setattr(waiting_line, "STEP_MAX_S", 3 * MUCH_S)
    charged, charge = list[float](), WaitingLine.charge

    def noted(line: WaitingLine, worked_s: float) -> None:
        charged.append(worked_s)
        charge(line, worked_s)

    monkeypatch.setattr(WaitingLine, "charge", noted)
    with running() as node, node.connect() as client, node.connect() as voter:
        node.create()
        client.send(xadd("first"))
        assert isinstance(client.reply(), str)
        for begin in (0, count):
            client.send(b"".join(xadd(begin + number, "angry") for number in range(count)))
            if begin:
                wait_for("the client is in the line", lambda: any(each._again for each in node.connections()))
                voter.send(xadd("other"))
                assert isinstance(voter.reply(), str)
                node.http.call(_end_of_rest, node.door.line)
            assert {"NOOPTION"} == {reply.code for reply in client.replies(count)}
            node.http.call(node.door.line.charge, MUCH_S)
        node.http.call(_end_of_rest, node.door.line)
        assert sum(charged) - 2 * MUCH_S >= 2 * count * runner.REFUSED_S
        client.send(xadd("good"))
        assert isinstance(client.reply(), str)
        node.http.call(node.door.line.charge, MUCH_S)
        client.send(xadd("good again"))
        assert isinstance(client.reply(), str), "its last vote counted"
        node.http.call(_forgive, node.door.line)


def test_all_connections_together_have_their_time_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty clients that sent 20,000 PINGs each had 200 run for each of them in every turn: eight milliseconds."""
    ticks = iter(range(10_000_000))
    monkeypatch.setattr("quorate.resp.running.time.perf_counter", lambda: next(ticks) * WORK_S / 4)
    with running() as node:
        run, seen = node.door.counts.commands, [0]

        def turn() -> None:
            seen.append(run["ECHO"])
            if seen[-1] < 2_000:
                node.http.loop.call_soon(turn)

        node.http.call(turn)
        clients = [node.connect() for _ in range(20)]
        for client in clients:
            client.send(command("ECHO", "a") * 100)
        for client in clients:
            assert ["a"] * 100 == client.replies(100)
            client.sock.close()
        assert max(after - before for before, after in pairwise(seen)) <= 8


def test_long_replies_are_written_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred clients that asked for a tally of 100,000 options had three megabytes each written in one turn."""
    monkeypatch.setattr(runner, "BYTE_S", WORK_S / 50_000)
    with running() as node:
        node.create(options=[f"option {number:05}" for number in range(5_000)])
        written = node.turns_of_writes(monkeypatch)
        clients = [node.connect() for _ in range(10)]
        for client in clients:
            client.send(command("HGETALL", "poll:mood"))
        for client in clients:
            assert 10_000 == len(client.reply())
            client.sock.close()
        assert 10 == len(written)
        assert max(Counter(written).values()) <= 2


@on_loop
async def test_what_was_charged_is_followed_by_a_rest_while_votes_come() -> None:
    version, begun = 0, list[str]()

    def newer() -> int:
        nonlocal version
        version += 1
        return version

    loop = asyncio.get_running_loop()
    for line, rests in ((WaitingLine(10, version=newer), True), (WaitingLine(10, version=lambda: 0), False)):
        began_s = loop.time()
        line.charge(0.02)
        assert not line.has_time
        line.join(lambda: begun.append("it"))
        assert [] == begun
        while not begun:
            await asyncio.sleep(0)
        if rests:
            assert loop.time() - began_s >= 0.02 * REST
        begun.clear()


@on_loop
async def test_no_rest_takes_longer_than_it_may() -> None:
    """A machine that stood still for an hour in the middle of a read had two hours without another one."""
    line, begun = WaitingLine(10, version=iter(range(1, 1_000_000)).__next__), list[str]()
    line.charge(3_600.0)
    line.join(lambda: begun.append("it"))
    async with asyncio.timeout(20):
        while not begun:
            await asyncio.sleep(0.01)


@on_loop
async def test_those_with_much_to_do_go_between_those_with_little() -> None:
    line, begun = WaitingLine(100, version=lambda: 0), list[str]()
    line.charge(WORK_S)
    for number in range(3):
        line.join(partial(begun.append, f"much {number}"), has_much=True)
    for number in range(6):
        line.join(partial(begun.append, f"few {number}"))
    while len(begun) < 9:
        await asyncio.sleep(0)
    expected = ["few 0", "much 0", "few 1", "much 1", "few 2", "much 2", "few 3", "few 4", "few 5"]
    assert expected == begun
