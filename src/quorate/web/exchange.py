"""One request and its whole answer, bounded in size and in time, and ended from any thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
from requests.auth import AuthBase

from quorate.unreadable import UNREADABLE
from quorate.web.long_read import LongRead

TIMEOUT_S = 20.0
BYTES_MAX = 16 * 1024 * 1024

Closing = Callable[[Callable[[], None]], AbstractContextManager[None]]  # `Inlet.closing`


@dataclass(frozen=True, slots=True)
class WebAnswer:
    status: int
    headers: Mapping[str, str]  # by names in any case
    body: bytes

    def json(self) -> Any:
        """None if it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except UNREADABLE:
            return None


def exchange(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    data: Mapping[str, str] | None = None,
    json: Any = None,
    auth: AuthBase | None = None,
    timeout_s: float = TIMEOUT_S,
    bytes_max: int = BYTES_MAX,
    closing: Closing = lambda _: contextlib.nullcontext(),
) -> WebAnswer:
    """Whatever status is answered. Raises `LongReadFailed` if nothing is, or too much, or something else somewhere."""
    asked: dict[str, Any] = {"headers": headers, "params": params, "data": data, "json": json, "auth": auth}
    read = LongRead(method, url, silence_s=timeout_s, **asked)
    with closing(read.wake), read:
        return WebAnswer(read.status, read.headers, read.body(bytes_max, timeout_s))
