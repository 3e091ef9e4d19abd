"""Counts the votes in a file, each vote once, however often the file is fed.

A file holds votes as NDJSON, or one option a line. The whole file is read before anything is sent, so a bad line is
reported before any vote counts. Then the votes are sent in batches, in one of two ways:

- Votes without ids are sent as batches of a producer session that is named after the content of the file. The cluster
  remembers the last batch of a session for ever. So feeding the same file again continues where it stopped, and adds
  nothing if it was complete.
- If any vote has an id, each vote is counted by its id, unless that id was counted before, also by another way than
  `feed` (an id is protected for the next N accepted ids). Votes without an id get one made of the file and the line.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from quorate.client.http import Client
from quorate.client.lines import LINE_BYTES_MAX, numbered
from quorate.errors import Conflict, Invalid, QuorateError, Rejected
from quorate.vote import Rejection, Vote, check_vote

BATCH_VOTES = 1_000  # fixed, because the batches of a file must be the same each time it is fed
BAD_LINES_KEPT = 1_000
REFUSED_SHOWN = 5

_decode = msgspec.json.Decoder(Vote).decode


@dataclass(frozen=True, slots=True)
class VotesFile:
    """The votes in `path`. `poll` is for lines that name no poll. With `ignore_ids` the ids in the file are dropped."""

    path: Path
    poll: str | None = None
    ignore_ids: bool = False

    def votes(self) -> Iterator[tuple[int, bytes, Vote | QuorateError | None]]:
        """For each line its number, its bytes, and its vote: an error if it is not a vote, None if it is blank."""
        with open(self.path, "rb") as opened:
            for number, raw in numbered(opened):
                try:
                    yield number, raw, self._vote(raw)
                except QuorateError as error:
                    yield number, raw, error

    def batches(self) -> Iterator[list[Line]]:
        good = (Line(number, vote) for number, _, vote in self.votes() if isinstance(vote, Vote))
        while batch := list(itertools.islice(good, BATCH_VOTES)):
            yield batch

    def _vote(self, raw: bytes) -> Vote | None:
        if len(raw) > LINE_BYTES_MAX:
            raise Invalid(f"longer than {LINE_BYTES_MAX:,} bytes")
        text = raw.strip()
        if not text:
            return None
        try:
            vote = _decode(text) if text.startswith(b"{") else Vote(text.decode())
        except UnicodeDecodeError:
            raise Invalid("not UTF-8") from None
        except msgspec.DecodeError as error:
            raise Invalid(f"not a vote: {error}") from None
        if vote.poll is None:
            vote.poll = self.poll
        if self.ignore_ids:
            vote.id = None
        return check_vote(vote)


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    vote: Vote


@dataclass(slots=True)
class Scan:
    """What was found in a file. `bad` has the first bad lines, as (number, reason)."""

    votes: int = 0
    with_ids: int = 0
    bad_lines: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)
    producer: str = ""


@dataclass(slots=True)
class Fed:
    """The progress of a feed. `skipped` counts the votes of batches that an earlier feed had sent."""

    votes: int
    skipped: int = 0
    applied: int = 0
    duplicates: int = 0

    @property
    def done(self) -> int:
        return self.skipped + self.applied + self.duplicates


Progress = Callable[[Fed], None]


class FeedRefused(QuorateError):
    """The cluster refused votes of the file. The text says which lines."""

    status, kind, title = 400, "rejected", "The cluster refused some of the votes"


def scan(file: VotesFile) -> Scan:
    """Read the whole file: count its votes, list its bad lines, and name its session."""
    found = Scan()
    digest = hashlib.blake2b(digest_size=16)
    for number, raw, vote in file.votes():
        digest.update(raw)
        if isinstance(vote, QuorateError):
            found.bad_lines += 1
            if len(found.bad) < BAD_LINES_KEPT:
                found.bad.append((number, vote.detail))
        elif vote is not None:
            found.votes += 1
            found.with_ids += vote.id is not None
    digest.update(f"\0{file.poll or ''}\0{file.ignore_ids}".encode())  # with other options, it is another feed
    found.producer = f"feed-{digest.hexdigest()}"
    return found


def feed(client: Client, file: VotesFile, found: Scan, on_progress: Progress = lambda _: None) -> Fed:
    """Count the votes that `scan` found. Raises what the client raises. Feeding again continues where this stopped."""
    fed = Fed(found.votes)
    if found.with_ids:
        _check_window(client, found)
        return _feed_by_ids(client, file, fed, found.producer, on_progress)
    return _feed_session(client, file, fed, found.producer, on_progress)


def _feed_session(client: Client, file: VotesFile, fed: Fed, name: str, on_progress: Progress) -> Fed:
    producer, batches = client.open_producer(name), file.batches()
    for _ in range(producer.sequence):
        batch = next(batches, None)
        if batch is None:
            raise Conflict(f"the session {name} is at batch {producer.sequence}, which is more than this file has")
        fed.skipped += len(batch)
    on_progress(fed)
    for batch in batches:
        try:
            tallied = client.cast_session(producer, [line.vote for line in batch])
        except Rejected as error:
            rejected = msgspec.convert(error.fields.get("rejected", []), list[Rejection])
            raise _refused(batch, rejected, fed, "none of it was counted") from None
        fed.applied += tallied.applied
        fed.duplicates += tallied.duplicates
        on_progress(fed)
    return fed


def _feed_by_ids(client: Client, file: VotesFile, fed: Fed, name: str, on_progress: Progress) -> Fed:
    for batch in file.batches():
        for line in batch:
            line.vote.id = line.vote.id or f"{name}-{line.number}"
        tallied = client.cast([line.vote for line in batch])
        fed.applied += tallied.applied
        fed.duplicates += tallied.duplicates
        if tallied.rejected:
            raise _refused(batch, tallied.rejected, fed, "the rest of it was counted")
        on_progress(fed)
    return fed


def _check_window(client: Client, found: Scan) -> None:
    """Refuse a file with more ids than the cluster protects: fed again after an interruption, it could count twice."""
    window = client.status().get("state", {}).get("dedup", {}).get("size")
    if isinstance(window, int) and found.votes > window:
        raise Invalid(
            f"the file has {found.votes:,} votes with ids, and the cluster protects the last {window:,} ids: fed "
            "again, its first votes would count twice. Raise the window (votes.dedup_window), cut the file, or use "
            "--ignore-ids: then each line counts once, whatever its id"
        )


def _refused(batch: list[Line], rejected: list[Rejection], fed: Fed, rest: str) -> FeedRefused:
    lines = [f"line {batch[r.index].number:,}: {r.detail or r.reason}: {batch[r.index].vote.option}" for r in rejected]
    if len(lines) > REFUSED_SHOWN:
        lines[REFUSED_SHOWN:] = [f"and {len(lines) - REFUSED_SHOWN:,} more"]
    return FeedRefused(
        "\n".join(
            [
                *lines,
                f"They stand in the batch of lines {batch[0].number:,} to {batch[-1].number:,}; {rest}.",
                f"{fed.done:,} of {fed.votes:,} votes are counted so far. Correct the cause (is the poll open, has it "
                "the option?), then feed the same file again: it goes on.",
            ]
        ),
        lines=[batch[r.index].number for r in rejected],
    )
