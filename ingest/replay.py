"""Dead letters, replayed: their votes are submitted again under the ids that they had.

So a vote counts once, however often its letter is replayed and whenever the replay is killed: what was counted before
is a duplicate. A letter is finished after the outcome of all its votes is known. If only some of its votes count now,
a new letter with the others takes its place. Otherwise the votes that count would be submitted again with each replay,
and the protection of their ids may end.

Only letters whose votes may count one day are replayed. A vote that was rejected as a conflict must never count, though
its id may be forgotten by now. What is no vote stays as well. So does a letter whose message is from before a poll that
it names took the name of a deleted one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from quorate.errors import Invalid
from quorate.ingest import dead_letters
from quorate.ingest.dead_letters import Letter
from quorate.vote import Tallied, Vote

REPLAYED = frozenset(("unknown_option", "unknown_poll", "closed"))
LETTERS_AT_ONCE = 500
GROUP_VOTES = 5_000  # in one request, unless a letter has more
GROUP_BYTES = 1024 * 1024
STAYING_SHOWN = 10

Cast = Callable[[Sequence[Vote]], Tallied]
Since = Callable[[str], int]  # from when on a poll counts messages (Unix, ms); 0 if it counts all


class Taken(Protocol):
    @property
    def body(self) -> bytes: ...


T = TypeVar("T", bound=Taken)


class Box(Protocol[T]):
    """Where the letters are. What is not finished stays there. `publish` returns when the letters are stored."""

    def take(self, count_max: int) -> list[T]: ...

    def finish(self, letters: Iterable[T]) -> None: ...

    def publish(self, letters: Sequence[bytes]) -> None: ...


@dataclass(slots=True)
class Replay:
    """What was done."""

    letters: int = 0  # that are gone: all their votes count
    applied: int = 0
    duplicates: int = 0
    stay: Counter[str] = field(default_factory=Counter)  # letters, by reason
    examples: list[tuple[str, str]] = field(default_factory=list)  # (reason, detail) of some that stay

    def keep(self, reason: str, detail: str) -> None:
        self.stay[reason] += 1
        if len(self.examples) < STAYING_SHOWN:
            self.examples.append((reason, detail))


def replay(box: Box[T], cast: Cast, done: Replay, since_ms: Since = lambda poll: 0) -> None:
    """Replay all letters in the box, and note in `done` what became of them. Raises what `cast` and the box raise."""
    while taken := box.take(LETTERS_AT_ONCE):
        for group in _groups(_votes_of(taken, done, since_ms)):
            _replay_group(box, cast, group, done)


_Entry = tuple[T, Letter, list[Vote]]


def _votes_of(taken: Iterable[T], done: Replay, since_ms: Since) -> Iterator[_Entry[T]]:
    """The letters that are replayed, with their votes."""
    for each in taken:
        try:
            letter = dead_letters.read_letter(each.body)
        except Invalid as error:
            done.keep("unreadable", error.detail)
            continue
        if letter.reason not in REPLAYED:
            done.keep(letter.reason, letter.detail)
            continue
        try:
            votes = letter.votes()
        except Invalid as error:
            done.keep("unreadable", error.detail)
            continue
        if poll := _newer_poll(letter, votes, since_ms):
            done.keep("deleted", f"it was sent for an earlier poll {poll!r}, which was deleted")
            continue
        yield each, letter, votes


def _newer_poll(letter: Letter, votes: Iterable[Vote], since_ms: Since) -> str | None:
    """A poll that the letter names and that took the name of a deleted one after the message was sent."""
    sent_ns = letter.origin.get("timestamp_ns")
    if not isinstance(sent_ns, int):
        return None
    polls = {vote.poll: None for vote in votes if vote.poll is not None}
    return next((poll for poll in polls if sent_ns < since_ms(poll) * 1_000_000), None)


def _groups(letters: Iterable[_Entry[T]]) -> Iterator[list[_Entry[T]]]:
    group: list[_Entry[T]] = []
    votes = size = 0
    for each in letters:
        _, letter, its = each
        if group and (votes + len(its) > GROUP_VOTES or size + len(letter.content) > GROUP_BYTES):
            yield group
            group, votes, size = [], 0, 0
        group.append(each)
        votes, size = votes + len(its), size + len(letter.content)
    if group:
        yield group


def _replay_group(box: Box[T], cast: Cast, group: Sequence[_Entry[T]], done: Replay) -> None:
    tallied = cast([vote for _, _, votes in group for vote in votes])
    done.applied += tallied.applied
    done.duplicates += tallied.duplicates
    rejected = {rejection.index: rejection for rejection in tallied.rejected}
    start = 0
    gone: list[T] = []
    new: list[bytes] = []
    for taken, letter, votes in group:
        its = [(r.reason, r.detail, vote) for at, vote in enumerate(votes, start) if (r := rejected.get(at))]
        start += len(votes)
        if len(its) == len(votes) and {reason for reason, _, _ in its} == {letter.reason}:
            done.keep(letter.reason, letter.detail)  # as it was
            continue
        gone.append(taken)
        done.letters += not its
        new += dead_letters.of_votes(letter.origin, its)
    if new:
        box.publish(new)  # they come by here as well
    box.finish(gone)
