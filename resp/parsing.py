"""From bytes to commands: Redis' protocol as clients send it, bounded before anything is made for what a head claims.

A command is an array of bulk strings (RESP specification, "Sending commands to a Redis server"), or a line of words as
people type them into a bare connection. Most reads of a socket hold whole commands only, so these are taken apart by
one `split`; the rest goes byte range by byte range through `_Partial`, which never looks at a byte twice.
"""

from __future__ import annotations

import shlex

Command = list[bytes]

ARGUMENTS_MAX = 10_000
ARGUMENT_BYTES_MAX = 16 * 1024
COMMAND_BYTES_MAX = 1024 * 1024
LINE_BYTES_MAX = 8 * 1024  # of a command that is typed as a line
HEAD_BYTES_MAX = 24  # of a line that says how many or how long: "*" or "$", digits
# What a web page can make a browser send to this port begins like this, and must not reach any command.
HTTP_WORDS = (b"POST", b"GET", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE")
QUOTES = b"\"'\\"


class ProtocolError(Exception):
    """What came is no command, and nothing that follows it can be understood. Its text is for the client."""


class HttpSpoken(Exception):
    """Somebody speaks HTTP to this port. Nothing is answered."""


class RequestParser:
    """The commands of one connection."""

    def __init__(self) -> None:
        self._partial: _Partial | None = None  # a command that has not come whole
        self.failed: ProtocolError | HttpSpoken | None = None  # behind the commands that were taken last

    @property
    def waits(self) -> bool:
        """Whether a part of a command is there, and the rest is still to come."""
        return self._partial is not None

    def take(self, data: bytes) -> list[Command]:
        """The commands that are complete now. After `failed` is set, no more come."""
        commands: list[Command] = []
        if self.failed is not None:
            return commands
        try:
            if self._partial is not None:
                data = self._go_on(self._partial, data, commands)
            while data:
                data = _whole_ones(data, commands)
                if data:
                    self._partial = _Partial()
                    data = self._go_on(self._partial, data, commands)
        except (ProtocolError, HttpSpoken) as error:
            self.failed, self._partial = error, None
        return commands

    def _go_on(self, partial: _Partial, data: bytes, commands: list[Command]) -> bytes:
        """Feed the command that has not come whole. Returns what is behind it."""
        rest = partial.feed(data)
        if rest is None:
            return b""
        self._partial = None
        if partial.command:
            commands.append(partial.command)
        return rest


def _whole_ones(data: bytes, commands: list[Command]) -> bytes:
    """Take the commands that lie at the front, whole and plain. Returns the rest, which begins with something else."""
    parts = data.split(b"\r\n")
    at, last = 0, len(parts) - 1
    while at < last:
        head = parts[at]
        if head[:1] != b"*" or len(head) > 6 or not head[1:].isdigit():
            break
        end = at + 1 + 2 * int(head[1:])
        if end > last:
            break
        command = parts[at + 2 : end : 2]
        if [b"$%d" % len(argument) for argument in command] != parts[at + 1 : end : 2]:
            break  # an argument has line ends in it, or a length is wrong
        if sum(map(len, command)) > ARGUMENT_BYTES_MAX or len(command) > ARGUMENTS_MAX:
            break  # `_Partial` knows the bounds
        if command:
            commands.append(command)
        at = end
    return b"\r\n".join(parts[at:]) if at else data


class _Partial:
    """One command, as it comes."""

    def __init__(self) -> None:
        self.command: Command = []
        self._line = bytearray()  # a line that has not come whole
        self._missing = -1  # arguments; -1: the head has not come
        self._argument: bytearray | None = None
        self._length = 0  # of the argument, with the line end behind it
        self._bytes = 0  # of all arguments

    def feed(self, data: bytes) -> bytes | None:
        """None: the command is still not whole. Else what is behind it."""
        at = 0
        while self._missing != 0:
            if self._argument is not None:
                at = self._fill(self._argument, data, at)
                if self._argument is not None:
                    return None
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._line += data[at:]
                self._bound_line()
                return None
            self._line += data[at:end]
            at = end + 1
            self._bound_line()
            line, self._line = bytes(self._line.removesuffix(b"\r")), bytearray()
            self._read_line(line)
        return data[at:]

    def _bound_line(self) -> None:
        is_head = self._missing > 0 or self._line[:1] == b"*"
        if len(self._line) > (HEAD_BYTES_MAX if is_head else LINE_BYTES_MAX):
            raise ProtocolError("too big inline request" if not is_head else "invalid multibulk length")

    def _read_line(self, line: bytes) -> None:
        if self._missing > 0:
            self._begin_argument(line)
        elif line[:1] == b"*":
            self._missing = max(0, _number(line[1:], ARGUMENTS_MAX, "invalid multibulk length"))
        else:
            self.command, self._missing = _words(line), 0

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


def _number(text: bytes, most: int, wrong: str) -> int:
    if not text.removeprefix(b"-").isdigit() or int(text) > most:
        raise ProtocolError(wrong)
    return int(text)


def _words(line: bytes) -> Command:
    """The words of a line that was typed; words with spaces stand between quotes."""
    words = line.split()
    if words and ((words[0].upper() in HTTP_WORDS and b" HTTP/" in line) or words[0].lower() == b"host:"):
        raise HttpSpoken
    if words and words[0].upper() == b"POST":
        raise HttpSpoken
    if not any(quote in line for quote in (b'"', b"'", b"\\")):
        return words
    try:
        return [word.encode("latin-1") for word in shlex.split(line.decode("latin-1"))]
    except ValueError:
        raise ProtocolError("unbalanced quotes in request") from None
