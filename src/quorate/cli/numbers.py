"""Numbers as flags of commands: a range in plain words, and none that is no number.

Click lets "nan" through, which is in no range and out of none, and writes ranges as 0.001<=x<=1000000.
"""

from __future__ import annotations

import math
from typing import Any

import click


class NumberRange(click.FloatRange):
    """A number from `min` on, and up to `max` if there is one. Both may be given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        is_in_range = math.isfinite(number) and (self.min or 0) <= number
        if not is_in_range or (self.max is not None and number > self.max):
            self.fail(f"give {self.words()}, not {str(value)[:40]!r}", param, ctx)
        return number

    def words(self) -> str:
        """What may be given, as people write it."""
        low = f"{self.min or 0:,.10g}"
        return f"a number of {low} or more" if self.max is None else f"a number from {low} to {self.max:,.10g}"
