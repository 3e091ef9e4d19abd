"""Counts the votes in a file, each vote once, however often the file is fed, also if it is corrected in between.

A file holds votes as NDJSON, or one option a line. The whole file is read before anything is sent, so a bad line is
reported before any vote counts. Then the votes are sent in batches, in one of two ways:

- Votes without ids are sent as batches of a producer session. The cluster remembers the last batch of a session until
  it is forgotten, and a checkpoint says which lines it was made of. So feeding the file again continues where it
  stopped, and adds nothing if it was complete. `feed_start.py` decides where to begin.
- If any vote has an id, each vote is counted by its id, unless that id was counted before, also by another way than
  `feed` (an id is protected for the next N accepted ids). A vote without an id gets one that says what it is for, and
  how many such votes stand before it in the file.

Give it a patient client: then it goes on where the token has a rate, however small.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from quorate.client.checkpoint import PASSED_KEPT, Checkpoint, FeedMark
from quorate.client.feed_start import BATCH_VOTES, Start, Started, Wanted
from quorate.client.http import JsonClient
from quorate.client.votes_file import Line, Scan, VotesFile
from quorate.errors import Invalid, QuorateError, Rejected
from quorate.vote import Rejection, Vote
from quorate.words import count

REFUSED_SHOWN = 5
PASSABLE = {
    "unknown_option",
    "unknown_poll",
    "deleted",
    "conflict",
    "invalid",
}  # the line is wrong, and will be so tomorrow


@dataclass(slots=True)
class Fed:
    """The progress of a feed. `skipped` counts the votes of batches that an earlier feed had sent. `passed` has the
    first lines that were passed over because the cluster refused them, now or earlier, as (number, reason)."""

    votes: int
    skipped: int = 0
    applied: int = 0
    duplicates: int = 0
    passed_lines: int = 0
    passed: list[tuple[int, str]] = field(default_factory=list)
    session: str = ""

    @property
    def done(self) -> int:
        return self.skipped + self.applied + self.duplicates


Progress = Callable[[Fed], None]


class FeedRefused(QuorateError):
    """The cluster refused votes of the file. The text says which lines."""

    status, kind, title = 400, "rejected", "The cluster refused some of the votes"


def feed(
    client: JsonClient,
    file: VotesFile,
    found: Scan,
    on_progress: Progress = lambda _: None,
    *,
    checkpoint: Checkpoint | None = None,
    wanted: Wanted | None = None,
    skip_bad: bool = False,
) -> Fed:
    """Count the votes that `scan` found. Raises what the client raises. Feeding again continues where this stopped.

    Without a checkpoint, only the same content continues. With `skip_bad`, lines that the cluster can never count are
    passed over.
    """
    if found.with_ids:
        _check_window(client, found)
    if checkpoint is None or found.with_ids == found.votes:  # ids decide, whatever the file is called
        checkpoint, wanted = Checkpoint(), Wanted()
    wanted = wanted or Wanted()
    started = Start(client, file, found, checkpoint, wanted).find()
    return _Feeding(client, found, started, checkpoint, skip_bad, wanted).run(on_progress)


class _Feeding:
    def __init__(
        self, client: JsonClient, found: Scan, started: Started, checkpoint: Checkpoint, skip_bad: bool, wanted: Wanted
    ) -> None:
        self._client, self._checkpoint, self._skip_bad, self._wanted = client, checkpoint, skip_bad, wanted
        self._producer, self._reader, self._saved = started.producer, started.reader, started.saved
        self._mark = started.mark
        self._send = self._send_by_ids if found.with_ids else self._send_in_session
        self._ids = _Ids(started.producer.producer)
        self.fed = Fed(found.votes, skipped=self._mark.votes - self._mark.passed, session=started.producer.producer)
        self.fed.passed_lines, self.fed.passed = self._mark.passed, self._saved.passed

    def run(self, on_progress: Progress) -> Fed:
        on_progress(self.fed)
        while lines := self._reader.read(BATCH_VOTES):
            self._send(lines)
            on_progress(self.fed)
        self._saved.marks, self._saved.passed, self._saved.whole = [self._mark], self.fed.passed, True
        self._checkpoint.save(self._saved)
        return self.fed

    def _send_in_session(self, lines: list[Line]) -> None:
        """As the next batch. If none of its lines is left, then the next lines make that batch."""
        all_lines = lines
        while lines:
            sequence = self._mark.sequence + 1
            self._saved.marks = [self._mark, self._mark_here(sequence)]  # before it is sent: it may count unseen
            self._checkpoint.save(self._saved)
            votes = [line.vote for line in lines]
            try:
                tallied = self._client.cast_session(self._producer, votes)
            except Rejected as error:
                rejected = msgspec.convert(error.fields.get("rejected", []), list[Rejection])
                lines = self._pass_over(lines, rejected, all_lines, "none of it was counted")
            else:
                self.fed.applied += tallied.applied
                self.fed.duplicates += tallied.duplicates
                self._mark = self._mark_here(sequence)
                return
        self._mark = self._mark_here(self._mark.sequence)

    def _send_by_ids(self, lines: list[Line]) -> None:
        for line in lines:
            line.vote.id = line.vote.id or self._ids.make(line.vote)
        tallied = self._client.cast([line.vote for line in lines])
        self.fed.applied += tallied.applied
        self.fed.duplicates += tallied.duplicates
        if tallied.rejected:
            self._pass_over(lines, tallied.rejected, lines, "the rest of it was counted")
        self._mark = self._mark_here(self._mark.sequence + 1)
        if self._mark.votes > self._saved.marks[-1].votes:
            self._saved.marks = [self._mark]
            self._checkpoint.save(self._saved)

    def _mark_here(self, sequence: int) -> FeedMark:
        reader = self._reader
        return FeedMark(sequence, reader.votes, reader.line, reader.digest(), self.fed.passed_lines)

    def _pass_over(
        self, lines: list[Line], rejected: Sequence[Rejection], all_lines: list[Line], rest: str
    ) -> list[Line]:
        """The lines that are left. Raises if one of the others is not to be passed over."""
        if not rejected or not self._skip_bad or {each.reason for each in rejected} - PASSABLE:
            raise self._refused(lines, rejected, all_lines, rest)
        bad = {each.index: each for each in rejected}
        self.fed.passed_lines += len(bad)
        for index, each in bad.items():
            if len(self.fed.passed) < PASSED_KEPT:
                self.fed.passed.append((lines[index].number, _why(each, lines[index].vote.option)))
        return [line for index, line in enumerate(lines) if index not in bad]

    def _refused(
        self, lines: list[Line], rejected: Sequence[Rejection], all_lines: list[Line], rest: str
    ) -> FeedRefused:
        shown = [f"line {lines[r.index].number:,}: {_why(r, lines[r.index].vote.option)}" for r in rejected]
        if len(shown) > REFUSED_SHOWN:
            shown[REFUSED_SHOWN:] = [f"and {len(shown) - REFUSED_SHOWN:,} more"]
        first, last = all_lines[0].number, all_lines[-1].number
        return FeedRefused(
            "\n".join(
                [
                    *shown,
                    f"They stand in the batch of lines {first:,} to {last:,}; {rest}.",
                    f"{self.fed.done:,} of {count(self.fed.votes, 'vote')} counted so far. {self._advice(first)}",
                ]
            ),
            lines=[lines[r.index].number for r in rejected],
            session=self.fed.session,
        )

    def _advice(self, first: int) -> str:
        cause = "Correct the cause (is the poll open, has it the option?)"
        if self._wanted.piped:
            return f"{cause}, then feed the text again with --session {self.fed.session}: it goes on."
        if not self._checkpoint.is_kept:
            return f"{cause}, then feed the same file again: it goes on."
        return (
            f"{cause} or the lines, then feed the same file again: it goes on at line {first:,}. Lines before that "
            "one must stay as they are. --skip-bad passes over lines that cannot count."
        )


class _Ids:
    """Ids for votes that have none: the same for the same file, and whatever is changed in its other lines."""

    def __init__(self, session: str) -> None:
        self._session = hashlib.blake2b(session.encode(), digest_size=12).hexdigest()
        self._seen: Counter[bytes] = Counter()

    def make(self, vote: Vote) -> str:
        choice = msgspec.json.encode((vote.option, vote.poll, vote.weight))
        digest = hashlib.blake2b(choice, digest_size=12).digest()
        self._seen[digest] += 1
        return f"feed-{self._session}-{digest.hex()}-{self._seen[digest]}"


def _why(rejection: Rejection, option: str) -> str:
    why = rejection.detail or rejection.reason
    return why if repr(option) in why else f"{why}: {option}"


def _check_window(client: JsonClient, found: Scan) -> None:
    """Refuse a file with more ids than the cluster protects: fed again after an interruption, it could count twice."""
    status = client.status()
    share = status.get("caller", {}).get("share", 0)
    window = status.get("caller", {}).get("protected_ids") or status.get("state", {}).get("dedup", {}).get("size")
    if not isinstance(window, int) or found.votes <= window:
        return
    whose = f" of share {share}, which the token has" if share else ""
    more = "Take the token's share out of auth.file" if share else "Raise the window"
    how = "" if share else f" (quorate settings set votes.dedup_window {found.votes})"
    raise Invalid(
        f"the file has {count(found.votes, 'vote')} with ids, and the cluster protects the last "
        f"{count(window, 'id')}{whose}: fed again, its first votes would count twice. {more}{how}, cut the file, or "
        "use --ignore-ids: then each line counts once, whatever its id"
    )
