"""A file of posts instead of a network: a post in JSON on each line, as `Post` has its fields.

Its position is the number of the last line that was read, with a digest of all lines up to it. So a file that has
grown goes on, and one whose lines were changed is refused. A pipe is read from its beginning each time.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from quorate.client.lines import LINE_BYTES_MAX, chunks
from quorate.errors import Conflict, Invalid
from quorate.ingest.social.network import Inlet, Positions
from quorate.ingest.social.post import Post, PostLine
from quorate.ingest.social.reading.compressed import damage_in_words, plain
from quorate.ingest.social.reading.followed import FollowedFile
from quorate.ingest.social.reading.kept_position import position_in_words
from quorate.words import count

AHEAD_S = 0.02  # posts that are due so soon are not waited for
BAD_LINES_KEPT = 1_000


class _Place(msgspec.Struct):
    """So many lines were read, and this is the digest of them."""

    line: Annotated[int, msgspec.Meta(ge=0)] = 0
    digest: str = ""


class ReplayNetwork:
    """`path` None: standard input, whose position is remembered only under a `session`, the name that it then has.

    `speed` 1 is that at which the posts were written, 10 is ten times as fast; None: as fast as they are counted.
    `follow`: at its end the file is not over, but waited for. `synthetic` posts are made up, and say so.
    """

    name = "replay"
    promise: Literal["exact"] = "exact"
    keeps = "the whole file"

    def __init__(
        self,
        path: Path | None,
        *,
        speed: float | None = None,
        skip_bad: bool = False,
        follow: bool = False,
        session: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._speed, self._skip_bad, self._follow, self._clock = path, speed, skip_bad, follow, clock
        self._called = "standard input" if path is None else str(path)
        self._is_remembered = session is not None or (path is not None and not path.is_fifo())
        resolved = self._called if path is None else str(path.resolve()).encode(errors="backslashreplace").decode()
        self.source = f"session {session}" if session else resolved
        self.synthetic = 0
        self.bad_lines = 0
        self.bad: list[tuple[int, str]] = []  # the first lines that were passed over, and why

    def run(self, inlet: Inlet, positions: Positions) -> None:
        with position_in_words():
            place = msgspec.json.decode(positions.get("", "{}"), type=_Place)
        pace = None if self._speed is None else _Pace(self._speed, self._clock)
        reading = _Reading(inlet, place, self._called, pace, self._is_remembered)
        with self._opened(inlet, reading) as stream, damage_in_words(self._called):
            inlet.connected()
            number = 0
            for lines in chunks(plain(stream)):  # of a pipe: as they come
                for line in lines:
                    number += 1
                    try:
                        reading.read(number, line)
                    except Invalid as error:
                        self._pass_over(number, error.detail, reading)
                        reading.add(number, line)
                reading.put()
                self.synthetic = reading.synthetic
            reading.check_end()

    def figures(self) -> Mapping[str, float]:
        """Of a file that nobody made up there are none."""
        return {"synthetic_posts": self.synthetic} if self.synthetic else {}

    def _pass_over(self, number: int, why: str, reading: _Reading) -> None:
        if not self._skip_bad:
            reading.put()
            raise Invalid(
                f"line {number:,} is no post: {why}. What stands before it was read. Correct it and run this again: it "
                "goes on there. --skip-bad passes over such lines"
            )
        self.bad_lines += 1
        if len(self.bad) < BAD_LINES_KEPT:
            self.bad.append((number, why))

    def _opened(self, inlet: Inlet, reading: _Reading) -> io.BufferedReader:
        """Standard input by a stream of its own: if a thread hangs in that of Python, the process cannot end."""
        if self._path is None:
            return io.BufferedReader(open(0, "rb", buffering=0, closefd=False))
        file = self._path.open("rb", buffering=0)
        if not self._follow:
            return io.BufferedReader(file)
        return io.BufferedReader(FollowedFile(file, inlet.pause, reading.check_end_so_far))


class _Reading:
    """Takes the lines one after the other, and puts their posts into the inlet."""

    def __init__(self, inlet: Inlet, place: _Place, called: str, pace: _Pace | None, is_remembered: bool) -> None:
        self._inlet, self._place, self._called, self._is_remembered = inlet, place, called, is_remembered
        self._pace = pace
        self._digest = hashlib.blake2b(digest_size=16)
        self._posts: list[Post] = []
        self._line = 0  # the last one that was added
        self.synthetic = 0

    def read(self, number: int, line: bytes) -> None:
        """Add the line, and its post. Raises `Invalid`, before anything is added, if it is none."""
        post = None
        if number > self._place.line and (post := _post(line)) is not None:
            self._wait_until_due(post)
        self.add(number, line)
        if number <= self._place.line:
            self._check(number)
        elif post is not None:
            self._posts.append(post)
            self.synthetic += post.synthetic

    def add(self, number: int, line: bytes) -> None:
        self._digest.update(line if line.endswith(b"\n") else line + b"\n")  # the file may grow behind its last line
        self._line = number

    def _wait_until_due(self, post: Post) -> None:
        if self._pace is not None and (pause_s := self._pace.ahead_s(post)) > AHEAD_S:
            self.put()
            self._inlet.pause(pause_s)

    def put(self) -> None:
        if self._line < self._place.line:
            _ = self._inlet.terms  # raises if the stream is stopped
            return
        position = msgspec.json.encode(_Place(self._line, self._digest.hexdigest())).decode()
        self._inlet.put(self._posts, {"": position} if self._is_remembered else {})
        self._posts = []

    def _check(self, number: int) -> None:
        """Of the lines that were read already, the last."""
        if number == self._place.line and self._digest.hexdigest() != self._place.digest:
            raise self._changed(f"changed in its first {count(number, 'line')}, which were read already")

    def check_end(self) -> None:
        if self._line < self._place.line:
            raise self._changed(f"has {count(self._line, 'line')}, and {self._place.line:,} were read already")

    def check_end_so_far(self) -> None:
        """Of a file that is followed. The last line may be there already, and not its end."""
        if self._line + 1 < self._place.line:
            self.check_end()

    def _changed(self, what: str) -> Conflict:
        return Conflict(
            f"{self._called} {what}. Nothing was read now. If it is another file: --new reads all of it. Posts that "
            "were read already count once, by their ids"
        )


class _Pace:
    """When each post is due, counted from the first one."""

    def __init__(self, speed: float, clock: Callable[[], float]) -> None:
        self._speed, self._clock = speed, clock
        self._first_ms = self._began_s = 0.0

    def ahead_s(self, post: Post) -> float:
        """How long before its time it is now. A post that does not say when it was written is always due."""
        if not post.created_ms:
            return 0.0
        if not self._first_ms:
            self._first_ms, self._began_s = post.created_ms, self._clock()
        return self._began_s + (post.created_ms - self._first_ms) / 1000 / self._speed - self._clock()


_decode = msgspec.json.Decoder(PostLine).decode


def _post(line: bytes) -> PostLine | None:
    """None: a blank line, or a new text of a post, which never votes.

    Raises `Invalid`, without the text of the line: a person wrote it.
    """
    if len(line) > LINE_BYTES_MAX:
        raise Invalid(f"longer than {LINE_BYTES_MAX:,} bytes")
    if not line.strip():
        return None
    try:
        post = _decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(str(error)) from None
    except UnicodeDecodeError:
        raise Invalid("not UTF-8") from None
    if not post.id:
        raise Invalid("its id is empty")
    return None if post.is_edit else post
