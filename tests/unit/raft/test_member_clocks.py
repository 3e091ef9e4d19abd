"""Which time closes polls, whatever single clocks say."""

from __future__ import annotations

import asyncio
import logging

import pytest

from quorate.cluster.raft.member_clocks import ASK_S, WAIT_S, MemberClocks
from quorate.cluster.replica import PeerHandler
from quorate.errors import NoLeader, NotFound, OutcomeUnknown, QuorateError
from tests.support.on_loop import on_loop

NOON_MS = 1_000_000_000_000
HOUR_MS = 3_600_000
HELD_MS = NOON_MS - 5_000  # the time of the last entry
OLD = NotFound("this node does not know the call 'clock'; is it of another version?")
UNREACHED = NoLeader("there is no connection to it now")
SILENT = OutcomeUnknown("it did not answer")

Clock = int | QuorateError  # what a member's clock is ahead of noon by, or how the question to it ends


class Members:
    """n1 leads. It asks the others, and `own` is its own clock."""

    def __init__(self, own: int = 0, **others: Clock) -> None:
        self.own, self.others = own, others
        self.passed_ms = 0
        self.clocks = MemberClocks("n1", self, self._wall, lambda: 5.0 + self.passed_ms / 1000)

    def _wall(self) -> float:
        return (NOON_MS + self.own + self.passed_ms) / 1000

    def serve(self, kind: str, handler: PeerHandler) -> None:
        assert "clock" == kind

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes:
        clock = self.others[peer]
        if isinstance(clock, QuorateError):
            raise clock
        return (NOON_MS + clock + self.passed_ms).to_bytes(8, "big", signed=True)

    async def tick(self, *, leads: bool = True) -> Members:
        self.clocks.tick(leads=leads, voters=lambda: {"n1", *self.others})
        for _ in range(3):
            await asyncio.sleep(0)
        return self

    async def pass_time(self, ms: int) -> Members:
        self.passed_ms += ms
        return await self.tick()

    @property
    def ahead_ms(self) -> int:
        """The time of the next entry, as noon has moved on."""
        return self.clocks.now_ms(HELD_MS, lambda: NOON_MS + self.passed_ms + self.own) - NOON_MS - self.passed_ms


HELD = HELD_MS - NOON_MS


@pytest.mark.parametrize(
    ("members", "ahead_ms"),
    [
        (Members(HOUR_MS, n2=0, n3=0), 0),
        (Members(-HOUR_MS, n2=0, n3=0), 0),
        (Members(0, n2=HOUR_MS, n3=-HOUR_MS), 0),
        (Members(HOUR_MS, n2=0), 0),
        (Members(HOUR_MS, n2=40_000, n3=40_000, n4=0, n5=0), 40_000),
        (Members(HOUR_MS, n2=HOUR_MS, n3=0, n4=0, n5=0), 0),
        (Members(HOUR_MS, n2=0, n3=SILENT), 0),
        (Members(HOUR_MS, n2=0, n3=OLD), 0),
        (Members(0, n2=OLD, n3=OLD), 0),
        (Members(7, n2=OLD, n3=OLD), 7),
        (Members(7), 7),
        (Members(HOUR_MS, n2=SILENT, n3=UNREACHED), HELD),
        (Members(HOUR_MS, n2=OLD, n3=SILENT, n4=UNREACHED, n5=UNREACHED), HELD),
    ],
    ids=[
        *("the leader is ahead", "the leader is behind", "two followers are wrong", "of two the later is wrong"),
        *("what three of five have reached", "two of five are ahead", "one is silent", "one is old"),
        *("the others are old", "then the leader decides", "it is alone"),
        *("nobody has answered yet", "too few have answered yet"),
    ],
)
def test_the_time_is_what_a_majority_has_reached(members: Members, ahead_ms: int) -> None:
    @on_loop
    async def ask() -> None:
        assert ahead_ms == (await members.tick()).ahead_ms

    ask()


@on_loop
async def test_a_member_that_falls_silent_is_carried_on_by_the_monotonic_clock() -> None:
    members = await Members(HOUR_MS, n2=0, n3=SILENT).tick()
    members.others["n2"] = SILENT
    await members.pass_time(600_000)
    assert 0 == members.ahead_ms


@on_loop
async def test_a_clock_that_is_set_is_asked_again() -> None:
    members = await Members(0, n2=HOUR_MS, n3=HOUR_MS).tick()
    assert HOUR_MS == members.ahead_ms
    members.others |= {"n2": 0, "n3": 0}
    await members.pass_time(int(ASK_S * 1000) + 1)
    assert 0 == members.ahead_ms


@on_loop
async def test_a_new_leadership_believes_no_clock_of_an_earlier_one() -> None:
    members = await Members(0, n2=HOUR_MS, n3=HOUR_MS).tick()
    await members.tick(leads=False)
    members.others |= {"n2": SILENT, "n3": SILENT}
    await members.tick()
    assert HELD == members.ahead_ms


@on_loop
async def test_time_does_not_stand_still_for_ever() -> None:
    members = await Members(7, n2=SILENT, n3=SILENT).tick()
    assert HELD == members.ahead_ms
    await members.pass_time(int(WAIT_S * 1000) + 1)
    assert 7 == members.ahead_ms


@on_loop
async def test_a_wrong_clock_is_told_once_and_when_it_is_right_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    members = await Members(0, n2=HOUR_MS, n3=-30).tick()
    for _ in range(5):
        await members.pass_time(1_001)
    assert {"n1": 0, "n2": HOUR_MS, "n3": -30} == members.clocks.offsets_ms()
    members.others["n2"] = 5
    for _ in range(3):
        await members.pass_time(1_001)
    assert [
        "the clock of n2 is 3600.0 s ahead of the majority's, which closes polls: set it (NTP)",
        "the clock of n2 agrees with the majority's again",
    ] == [record.getMessage() for record in caplog.records]


@on_loop
async def test_a_clock_that_gets_more_wrong_or_otherwise_wrong_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    """The last line about a clock must not say "ahead" of one that is behind, nor two seconds of an hour."""
    caplog.set_level(logging.INFO)
    members = await Members(0, n2=2_000, n3=0).tick()
    for ahead_ms in (2_000, 2_500, 3_900, 4_100, HOUR_MS, -HOUR_MS, -HOUR_MS - 5_000):
        members.others["n2"] = ahead_ms
        for _ in range(3):
            await members.pass_time(1_001)
    assert ["2.0 s ahead of", "4.1 s ahead of", "3600.0 s ahead of", "3600.0 s behind"] == [
        record.getMessage().removeprefix("the clock of n2 is ").partition(" the majority's")[0]
        for record in caplog.records
    ]
