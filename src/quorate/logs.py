"""The format of log lines: text for people or JSON for machines. Each line names the node.

The rest of Quorate logs one line for a change of state, and none for a vote. What others wrote may be part of any
message, so each one is made safe here (see `shown.py`): it is one line, of bounded length. Lines of a traceback are
indented, since an error's text may look like a line of the log.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from logging.handlers import WatchedFileHandler
from typing import Any

import msgspec

from quorate import shown

INDENT = "  | "
TRACE_MAX = 20_000
CHATTY = ("uvicorn", "asyncio", "urllib3", "pymongo", "nsq", "tornado", "pysyncobj", "websockets", "oauthlib")

_encode = msgspec.json.Encoder().encode
_HEAD = re.compile(r"\d{4}-\d\d-\d\dT\S+Z [A-Z]+ +\S+ [\w.]+: |quorate: ")


class _Text(logging.Formatter):
    def __init__(self, node_id: str) -> None:
        super().__init__(
            f"%(asctime)s.%(msecs)03dZ %(levelname)-8s {node_id} %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
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

    A new file is begun if the file was moved away, so logrotate needs no signal. Otherwise the file keeps growing.
    """
    handler = WatchedFileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    handler.addFilter(_is_for_us)
    handler.setFormatter(_Json(node_id) if format == "json" else _Text(node_id))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def message_of(line: str) -> str:
    """What a line says, without the time and all else that the formats above put around it."""
    try:
        return str(msgspec.json.decode(line)["message"])
    except (msgspec.DecodeError, TypeError, KeyError):
        return line[head.end() :] if (head := _HEAD.match(line)) else line
