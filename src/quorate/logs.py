"""The format of log lines: text for people or JSON for machines. Each line names the node, and where in its log it is.

The rest of Quorate logs one line for a change of state, and none for a vote. What others wrote may be part of any
message, so each one is made safe here (see `shown.py`): it is one line, of bounded length. Lines of a traceback are
indented, since an error's text may look like a line of the log.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from logging.handlers import WatchedFileHandler
from typing import Any

import msgspec

from quorate import shown

INDENT = "  | "
TRACE_MAX = 20_000
CHATTY = ("uvicorn", "asyncio", "urllib3", "pymongo", "nsq", "tornado", "pysyncobj", "websockets", "oauthlib")

Where = tuple[int, int]  # the term, and the index of the entry that was applied last

_encode = msgspec.json.Encoder().encode
_HEAD = re.compile(r"\d{4}-\d\d-\d\dT\S+Z [A-Z]+ +\S+ (?:t\d+ i\d+ )?[\w.]+: |quorate: ")


class _PlaceInLog(logging.Filter):
    """Adds to a record where the node was when it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.where: Callable[[], Where] = lambda: (0, 0)

    def filter(self, record: logging.LogRecord) -> bool:
        term, index = self.where()
        record.where = {"term": term, "index": index} if term else {}
        record.place = f"t{term} i{index} " if term else ""
        return True


_place = _PlaceInLog()  # of the one node of this process


class _Text(logging.Formatter):
    def __init__(self, node_id: str) -> None:
        super().__init__(
            f"%(asctime)s.%(msecs)03dZ %(levelname)-8s {node_id} %(place)s%(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
        )

        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        record.message = shown.line(record.getMessage())
        record.asctime = self.formatTime(record, self.datefmt)
        lines = [self.formatMessage(record)]
        if record.exc_info:
            lines.append(_indented(self.formatException(record.exc_info)))
        if record.stack_info:
            lines.append(_indented(record.stack_info))
        return "\n".join(lines)


def _indented(trace: str) -> str:
    return "\n".join(INDENT + each for each in shown.lines(trace, TRACE_MAX).split("\n"))


class _Json(logging.Formatter):
    def __init__(self, node_id: str) -> None:
        super().__init__()
        self._node_id = node_id

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "node": self._node_id,
            **record.where,  # type: ignore[attr-defined]
            "from": record.name,
            "message": shown.line(record.getMessage()),
        }
        if record.exc_info:
            line["trace"] = shown.lines(self.formatException(record.exc_info), TRACE_MAX)
        return _encode(line).decode()


def _is_for_us(record: logging.LogRecord) -> bool:
    """At `debug` libraries write down all that goes through them: tokens, signatures, what people wrote."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] == "quorate"


def set_up(node_id: str, *, level: str, format: str, file: str) -> None:
    """Send all log lines of this process to `file`, or to standard error if it is empty.

    The format "auto" is text on a terminal and JSON elsewhere.

    A new file is begun if the file was moved away, so logrotate needs no signal. Otherwise the file keeps growing.
    """
    handler = WatchedFileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    handler.addFilter(_is_for_us)
    handler.addFilter(_place)
    is_json = format == "json" or (format == "auto" and (bool(file) or not sys.stderr.isatty()))
    handler.setFormatter(_Json(node_id) if is_json else _Text(node_id))
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)


def set_level(level: str) -> None:
    """From now on, write what is at least so severe. Also while a node runs."""
    logging.getLogger().setLevel(level.upper())
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def level() -> str:
    """The least severity that is written now."""
    return logging.getLevelName(logging.getLogger().level).lower()


def tell_where(where: Callable[[], Where]) -> None:
    """`where` is asked for each line, on any thread; it reads two numbers."""
    _place.where = where


def message_of(line: str) -> str:
    """What a line says, without the time and all else that the formats above put around it."""
    try:
        return str(msgspec.json.decode(line)["message"])
    except (msgspec.DecodeError, TypeError, KeyError):
        return line[head.end() :] if (head := _HEAD.match(line)) else line
