"""Letters in the topic of dead letters, whoever put them there: anybody may publish to a topic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from quorate.errors import Invalid
from quorate.ingest.dead_letters import of_votes, read_letter
from quorate.ingest.replay import Replay, replay
from quorate.vote import Tallied, Vote

HEAD = b'{"reason":"closed","detail":"no"}\n'
DEEP = b"[" * 5_000 + b"]" * 5_000
NO_LETTERS = [b"", b"\xff", b'{"reason":"\xff","detail":""}\n', b'{"reason":' + DEEP, b'{"more":' + DEEP + b"}"]
NO_VOTES = [b'{"option":"\xff","id":"1"}', b'{"option":"a","id":"1","more":' + DEEP + b"}", b'{"option":' + DEEP + b"}"]


@dataclass(frozen=True)
class Taken:
    body: bytes


class Box:
    def __init__(self, bodies: Iterable[bytes]) -> None:
        self.waiting = [Taken(body) for body in bodies]
        self.finished: list[Taken] = []

    def take(self, count_max: int) -> list[Taken]:
        taken, self.waiting = self.waiting, []
        return taken

    def finish(self, letters: Iterable[Taken]) -> None:
        self.finished += letters

    def publish(self, letters: Sequence[bytes]) -> None:
        raise AssertionError(letters)


@pytest.mark.parametrize("data", NO_LETTERS, ids=range(len(NO_LETTERS)))
def test_what_is_no_letter_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(Invalid):
        read_letter(data)


@pytest.mark.parametrize("content", NO_VOTES, ids=range(len(NO_VOTES)))
def test_a_letter_whose_votes_cannot_be_read_says_so(content: bytes) -> None:
    with pytest.raises(Invalid):
        read_letter(HEAD + content).votes()


def test_a_replay_goes_on_past_what_strangers_put_there() -> None:
    [ours] = of_votes({}, [("closed", "no", Vote("happy", "v1"))])
    box, done = Box([*NO_LETTERS, *(HEAD + content for content in NO_VOTES), ours]), Replay()
    replay(box, lambda votes: Tallied(len(votes), 0, [], 1), done)
    assert (1, 1, [ours]) == (done.letters, done.applied, [each.body for each in box.finished])
    assert {"unreadable": len(NO_LETTERS) + len(NO_VOTES)} == dict(done.stay)
