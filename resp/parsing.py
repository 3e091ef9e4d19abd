"""From bytes to commands: Redis' protocol as clients send it, bounded before anything is made for what a head claims.

A command is an array of bulk strings (RESP specification, "Sending commands to a Redis server"), or a line of words as
people type them into a bare connection (`inline.py`). What came stays as it came until somebody asks for commands,
because a command takes far more memory than its bytes. Most of what clients send are whole commands, so these are taken
apart by one `split`, a window at a time. The rest goes byte range by byte range through `_Partial`. No byte is looked
at more than once by each of the two, however it comes.
"""

from __future__ import annotations

from functools import lru_cache

from quorate.resp.alike import AlikeVotes, Form
from quorate.resp.inline import HttpSpoken, ProtocolError, check_long, words_of

Command = list[bytes]

ARGUMENTS_MAX = 1_024
TOO_MANY = f"invalid multibulk length: a command has at most {ARGUMENTS_MAX:,} arguments; send several commands"
ARGUMENT_BYTES_MAX = 16 * 1024
COMMAND_BYTES_MAX = 1024 * 1024
ARGUMENT_COST = 48  # bytes that an argument takes beside its own, about
LINE_BYTES_MAX = 8 * 1024  # of a command that is typed as a line
HEAD_BYTES_MAX = 24  # of a line that says how many or how long: "*" or "$", digits
HEAD_DIGITS_MAX = 4  # of one that is read here and not by `_Partial`
WINDOW_BYTES = 16 * 1024  # that are split at once


@lru_cache(maxsize=1_024)
def _bulk_head(length: int) -> bytes:
    return b"$%d" % length


class RequestParser:
    """The commands of one connection."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0  # what lies before it was taken
        self._behind = bytearray()  # what came after the data
        self._looked = 0  # the data before it were split already, and have something that is not plain
        self._partial: _Partial | None = None  # a command that has not come whole
        self.left_bytes = 0  # that came and were not looked at
        self.failed: ProtocolError | HttpSpoken | None = None  # behind the commands that were taken last

    @property
    def waits(self) -> bool:
        """Whether a part of a command was taken, and the rest is still to come."""
        return self._partial is not None

    @property
    def held_bytes(self) -> int:
        """What all that takes which was not given out: bytes, and the command that has not come whole."""
        return self.left_bytes + (0 if self._partial is None else self._partial.cost)

    def feed(self, data: bytes) -> None:
        if self.failed is not None:
            return
        if self._at == len(self._data) and not self._behind:
            self._data, self._at, self._looked = data, 0, 0
        else:
            self._behind += data
        self.left_bytes += len(data)

    def take(self, most: int, form: Form | None = None) -> list[Command | AlikeVotes]:
        """So many of the commands that are whole; fewer where empty lines are among them. Votes of the form are not
        parsed, but for those behind one that is not alike. After `failed` is set, no more come."""
        commands: list[Command | AlikeVotes] = []
        try:
            while most > 0 and self._has_data():
                if form is not None and self._partial is None and self._data.startswith(form.head, self._at):
                    votes, self._at = form.take(self._data, self._at, most)
                    if votes:
                        commands.append(votes)
                        most -= len(votes)
                        continue
                    form = None
                if self._partial is None and self._at >= self._looked:
                    most -= self._take_plain(most, commands)
                else:
                    most -= 1
                    self._take_next(commands)
                    if self._partial is not None:
                        break  # others have their turn before the rest of it is read
        except (ProtocolError, HttpSpoken) as error:
            self.failed, self._partial = error, None
            self._data, self._at = b"", 0
            self._behind.clear()
        self.left_bytes = len(self._data) - self._at + len(self._behind)
        return commands

    def _has_data(self) -> bool:
        if self._at < len(self._data):
            return True
        self._data, self._at, self._looked = bytes(self._behind), 0, 0
        self._behind.clear()
        return bool(self._data)

    def _take_plain(self, most: int, commands: list[Command | AlikeVotes]) -> int:
        """Take commands that lie at the front, whole and plain. Returns how many heads there were."""
        end = min(self._at + WINDOW_BYTES, len(self._data))
        parts = self._data[self._at : end].split(b"\r\n")
        at, last, heads = 0, len(parts) - 1, 0
        while at < last and heads < most:
            head = parts[at]
            if head[:1] != b"*" or len(head) > 1 + HEAD_DIGITS_MAX or not head[1:].isdigit():
                break
            behind = at + 1 + 2 * int(head[1:])
            if behind > last or behind > at + 1 + 2 * ARGUMENTS_MAX:
                break
            command = parts[at + 2 : behind : 2]
            if list(map(_bulk_head, map(len, command))) != parts[at + 1 : behind : 2]:
                break  # an argument has line ends in it, or a length is wrong
            if command:
                commands.append(command)
            at, heads = behind, heads + 1
        self._at = end - len(b"\r\n".join(parts[at:]))
        if heads < most:
            self._looked = end
        return heads

    def _take_next(self, commands: list[Command | AlikeVotes]) -> None:
        """Take one command, or as much of it as is there."""
        partial = self._partial or _Partial()
        self._at += partial.feed(self._data[self._at : self._at + WINDOW_BYTES], 0)
        self._partial = None if partial.is_whole else partial
        if partial.is_whole and partial.command:
            commands.append(partial.command)


class _Partial:
    """One command, as it comes."""

    def __init__(self) -> None:
        self.command: Command = []
        self._line = bytearray()  # a line that has not come whole
        self._missing = -1  # arguments; -1: the head has not come
        self._argument: bytearray | None = None
        self._length = 0  # of the argument, with the line end behind it
        self._bytes = 0  # of all arguments

    @property
    def is_whole(self) -> bool:
        return self._missing == 0

    @property
    def cost(self) -> int:
        return self._bytes + ARGUMENT_COST * len(self.command)

    def feed(self, data: bytes, at: int) -> int:
        """Take what belongs to this command. Returns where that ends."""
        while at < len(data) and not self.is_whole:
            if self._argument is not None:
                at = self._fill(self._argument, data, at)
                continue
            end = data.find(b"\n", at)
            self._line += data[at : end if end >= 0 else len(data)]
            self._bound_line()
            if end < 0:
                return len(data)
            at = end + 1
            line, self._line = bytes(self._line.removesuffix(b"\r")), bytearray()
            self._read_line(line)
        return at

    def _bound_line(self) -> None:
        if self._missing > 0 or self._line[:1] == b"*":
            if len(self._line) > HEAD_BYTES_MAX:
                raise ProtocolError("invalid bulk length" if self._missing > 0 else "invalid multibulk length")
        elif len(self._line) > LINE_BYTES_MAX:
            check_long(bytes(self._line))

    def _read_line(self, line: bytes) -> None:
        if self._missing > 0:
            self._begin_argument(line)
        elif line[:1] == b"*":
            self._missing = max(0, _number(line[1:], ARGUMENTS_MAX, "invalid multibulk length", TOO_MANY))
        else:
            self.command, self._missing = words_of(line), 0

    def _begin_argument(self, line: bytes) -> None:
        if line[:1] != b"$":
            raise ProtocolError(f"expected '$', got '{line[:1].decode('ascii', 'replace')}'")
        length = _number(line[1:], ARGUMENT_BYTES_MAX, "invalid bulk length")
        self._bytes += length
        if length < 0 or self._bytes > COMMAND_BYTES_MAX:
            raise ProtocolError("invalid bulk length")
        self._argument, self._length = bytearray(), length + 2

    def _fill(self, argument: bytearray, data: bytes, at: int) -> int:
        """Put bytes into the argument. Returns where the next ones are."""
        end = at + self._length - len(argument)
        argument += data[at:end]
        if len(argument) == self._length:
            if not argument.endswith(b"\r\n"):
                raise ProtocolError("invalid bulk length")
            self.command.append(bytes(argument[:-2]))
            self._argument = None
            self._missing -= 1
        return min(end, len(data))


def _number(text: bytes, most: int, wrong: str, too_high: str = "") -> int:
    if not text.removeprefix(b"-").isdigit():
        raise ProtocolError(wrong)
    if (number := int(text)) > most:
        raise ProtocolError(too_high or wrong)
    return number
