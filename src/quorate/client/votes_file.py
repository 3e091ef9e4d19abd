"""A file of votes: NDJSON, or one option a line. It is read line by line, so its size does not matter."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from quorate.client.lines import LINE_BYTES_MAX, numbered
from quorate.errors import Invalid, QuorateError
from quorate.vote import Vote, check_vote

BAD_LINES_KEPT = 1_000

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

    def lines(self) -> Iterator[Line]:
        """The lines that are votes."""
        return (Line(number, vote) for number, _, vote in self.votes() if isinstance(vote, Vote))

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
    options: str = ""  # what the votes depend on besides the file's content


class Reader:
    """Reads the votes of a file in order, and keeps count: of votes, the number of the last line, and the digest of
    all votes so far. What is no vote does not belong to the digest."""

    def __init__(self, file: VotesFile) -> None:
        self._lines = file.lines()
        self._digest = hashlib.blake2b(digest_size=16)
        self.votes = self.line = 0

    def read(self, votes: int) -> list[Line]:
        """The next votes, or fewer if the file ends before."""
        lines = list(itertools.islice(self._lines, votes))
        for line in lines:
            vote = line.vote
            self._digest.update(msgspec.json.encode((vote.option, vote.poll, vote.weight, vote.id)))
            self.line = line.number
        self.votes += len(lines)
        return lines

    def digest(self) -> str:
        """Of no votes: empty."""
        return self._digest.hexdigest() if self.votes else ""


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
    found.options = f"poll={file.poll or ''} ignore-ids={file.ignore_ids} ids={bool(found.with_ids)}"
    return found
