"""Answers whose headers have ended. To http.client the end of a connection ends them, too: so an answer that was cut
off among them would be one without a type, a length, or what it asks for.
"""

from __future__ import annotations

import http.client
from typing import Any, BinaryIO


class WholeHeadersResponse(http.client.HTTPResponse):
    def __init__(self, *arguments: Any, **others: Any) -> None:
        super().__init__(*arguments, **others)
        self.fp: Any = _WholeLines(self.fp)


class _WholeLines:
    """The socket's file. Only headers are read by lines with a limit."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readline(self, limit: int = -1) -> bytes:
        line = self._file.readline(limit)
        if not line.endswith(b"\n") and len(line) < limit:
            raise http.client.RemoteDisconnected("the connection ended among the headers")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
