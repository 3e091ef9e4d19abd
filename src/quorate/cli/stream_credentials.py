"""Credentials of a network come before anything else: before settings are read, and before a node is asked."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any


def needs_credentials(read: Callable[[Mapping[str, str]], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command what `read` makes of the environment, as `keys`. It raises `ConfigError` that names what is
    missing. It stands above all other decorators but `click.command`."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def checked(*arguments: Any, **others: Any) -> Any:
            return command(*arguments, keys=read(os.environ), **others)

        return checked

    return decorated
