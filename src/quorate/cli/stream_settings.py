"""Flags of one network's command, each for a setting of [stream]: a file, the environment and the flag set the same.

What a flag may be is said by the settings, so it is checked wherever it comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from quorate.config import Config

PREFIX = "setting_"


def setting_flag(
    setting: str, *declarations: str, about: str, default: object = None, **kind: Any
) -> Callable[..., Any]:
    """A flag for `stream.SETTING`. Its command does not get it, but finds the setting in `options.config.stream`.

    `default` is shown. `kind` is click's: a type, `is_flag`, `multiple`.
    """
    if default is not None:
        kind.setdefault("type", None if "/" in declarations[0] else type(default))
        about += f"  [default: {default}]"
    return click.option(*declarations, PREFIX + setting, default=None, help=about, **kind)


def silence_flag(default_s: float) -> Callable[..., Any]:
    """For networks in which something always comes: signs of life, or posts."""
    about = f"Connect anew when nothing came for so many seconds.  [default: {default_s:g}]"
    return setting_flag("silence_s", "--silence-s", type=click.FloatRange(min=1), about=about)


def silence_s(config: Config, default_s: float) -> float:
    return config.stream.silence_s or default_s


def take_settings(others: dict[str, Any]) -> dict[str, Any]:
    """The settings that these flags set: they are taken out of the arguments of a command."""
    names = [name for name in others if name.startswith(PREFIX)]
    return {f"stream.{name.removeprefix(PREFIX)}": others.pop(name) for name in names}
