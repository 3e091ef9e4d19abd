"""Credentials of a network come before anything else: before settings are read, and before a node is asked."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import click


def needs_credentials(read: Callable[[Mapping[str, str]], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command what `read` makes of the environment, as `keys`. It raises `ConfigError` that names what is
    missing. It stands above all other decorators but `click.command`."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def checked(*arguments: Any, **others: Any) -> Any:
            return command(*arguments, keys=read(os.environ), **others)

        return checked

    return decorated


def read_url(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """For `--url`: a URL of http:// or https:// with a host, and without a password."""
    return _checked(ctx, param, value, ("http", "https"), "https://social.example/path")


def read_web_socket_urls(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """The same for WebSockets, each URL once."""
    return tuple(dict.fromkeys(_checked(ctx, param, value, ("ws", "wss"), "wss://social.example") for value in values))


def _checked(ctx: click.Context, param: click.Parameter, value: str, schemes: tuple[str, ...], example: str) -> str:
    try:
        parts = urlsplit(value)
        right = parts.scheme in schemes and parts.hostname and (parts.port or 1)
    except ValueError:
        right = False
    if not right or parts.username or parts.password:
        raise click.BadParameter(f"it is no URL such as {example}, without a name or password", ctx, param)
    return value
