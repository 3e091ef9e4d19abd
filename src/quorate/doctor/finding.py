"""What one look has found."""

from __future__ import annotations

from typing import Literal

import msgspec

Health = Literal["good", "warning", "bad", "unknown"]


class Finding(msgspec.Struct, frozen=True):
    """`what` was looked at. `todo` is what to do about it, empty if nothing is."""

    what: str
    health: Health
    words: str
    todo: str = ""


def is_bad(findings: list[Finding]) -> bool:
    return any(each.health == "bad" for each in findings)
