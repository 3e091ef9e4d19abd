"""uvicorn's flow control and its parser, as our connections use them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl

from quorate.http.intake import Intake


class Flow(FlowControl):
    """uvicorn's, which reads on after each answer; but not while something is held: see `intake.py`."""

    def __init__(self, transport: asyncio.Transport, intake: Intake, read_on: Callable[[], None]) -> None:
        super().__init__(transport)
        self._intake, self._read_on = intake, read_on

    def resume_reading(self) -> None:
        if self._intake.charged:
            asyncio.get_running_loop().call_soon(self._read_on)
        if not self._intake.held:
            super().resume_reading()


def new_parser(connection: object) -> Any:
    """A parser as uvicorn makes it: it reads on behind a request that closes the connection, since that is answered."""
    parser = httptools.HttpRequestParser(connection)
    with contextlib.suppress(AttributeError):  # httptools before 0.6.3
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
