"""JSON that is a little wrong, made right: what programs send that write texts, numbers or bytes as they have them.

- bare line breaks and other controls within texts, and halves of surrogate pairs
- bytes that are no UTF-8, which become U+FFFD, as the standard of server-sent events has it
- NaN, Infinity, and numbers without bounds, which become null: no field that is read here may be one
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TypeVar

import msgspec

from quorate.unreadable import UNREADABLE

T = TypeVar("T")
DIGITS_MAX = 40


def loosely(decode: Callable[[bytes], T], text: bytes) -> T:
    """What `decode` makes of it, if need be after it was mended. Raises `msgspec.ValidationError` of an object of
    another form, and another `msgspec.DecodeError` if it is no object."""
    try:
        return decode(text)
    except UNREADABLE:
        whole = mended(text)
    if whole is None:
        raise msgspec.DecodeError("it is no object, or not a whole one")
    return decode(whole)


def mended(text: bytes) -> bytes | None:
    """The same object as right JSON. None if it is no object, or not a whole one."""
    try:
        loaded = json.loads(
            text.decode("utf-8-sig", "replace"),
            strict=False,
            parse_constant=lambda _: None,
            parse_float=_bounded,
            parse_int=lambda digits: int(digits) if len(digits) <= DIGITS_MAX else None,
        )
    except (ValueError, RecursionError):
        return None
    if not isinstance(loaded, dict):
        return None
    return json.dumps(loaded, ensure_ascii=False).encode("utf-8", "replace")


def _bounded(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
