"""What every command that asks the cluster has in common: which nodes, how long, and in which form to answer."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from quorate.http.client import Client

UNREACHED_S = 2.0  # where nobody listens at all, a person need not wait as long as for an election

F = TypeVar("F", bound=Callable[..., Any])


def read_nodes(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Each value is one URL or several, divided by commas or spaces."""
    from quorate.errors import Invalid
    from quorate.http.client import base_url

    try:
        return [base_url(each) for value in values for each in re.split(r"[,\s]+", value) if each]
    except Invalid as error:
        raise click.BadParameter(error.detail, ctx, param) from None


def asks_nodes(timeout_s: float = 10.0) -> Callable[[F], F]:
    """Give a command --node and --timeout."""

    def decorate(command: F) -> F:
        command = click.option(
            "--timeout",
            "timeout_s",
            type=click.FloatRange(0.1, 3600),
            default=timeout_s,
            show_default=True,
            help="Seconds after which to give up.",
        )(command)
        return click.option(
            "--node",
            "nodes",
            metavar="URL",
            callback=read_nodes,
            multiple=True,
            envvar="QUORATE_NODES",
            show_envvar=True,
            help="URL of a node; several are tried in turn.  [default: ports 8001 to 8003 of this host]",
        )(command)

    return decorate


as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts.")


def client_of(nodes: list[str], timeout_s: float, *, unreached_s: float | None = UNREACHED_S) -> Client:
    from quorate.http.client import DEFAULT_NODES, Client

    return Client(nodes or DEFAULT_NODES, timeout_s=timeout_s, unreached_s=unreached_s)


def print_json(value: Any) -> None:
    """To standard output: indented where a person reads, one line where a program does."""
    import msgspec

    data = msgspec.json.encode(value)
    click.echo(msgspec.json.format(data, indent=2 if sys.stdout.isatty() else -1))
