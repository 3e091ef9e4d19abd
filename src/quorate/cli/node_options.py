"""The options of all commands that ask the cluster: which nodes, how long to wait, and whether to answer in JSON."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.busy import waiting
from quorate.cli.numbers import NumberRange
from quorate.cli.output import echo
from quorate.cli.refusals import in_own_words
from quorate.cli.settings import warn
from quorate.errors import QuorateError
from quorate.words import LEVELS

if TYPE_CHECKING:
    from quorate.client.http import JsonClient

TOKEN = "quorate.token"  # where the context of a command keeps it
CA = "quorate.ca"
WARNED = "quorate.warned"
UNREACHED_S = 2.0  # if no node can be reached at all, do not wait as long as for an election


EMPTY = "it is empty; leave the flag out if it has no value (a variable of the script, perhaps)"


IN_PS = "all users of this host see a flag in the list of processes, and its value has a password in it"


def is_by_flag(ctx: click.Context, name: str) -> bool:
    """Whether the value was given on the command line, and not in the environment."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """An empty value must not pass for a flag that was not given: the command would do something else."""
    if value is None or value.strip():
        return value
    if is_by_flag(ctx, str(param.name)):
        raise click.BadParameter(EMPTY, ctx, param)
    return None


def no_password(ctx: click.Context, param: click.Parameter, values: Sequence[str], variable: str) -> None:
    """Refuse flags with a password in them, because each user of the host sees the flags of all processes."""
    if is_by_flag(ctx, str(param.name)) and any("@" in each for each in values):
        raise click.BadParameter(f"{IN_PS}; give it in the environment, as {variable}", ctx, param)


def read_agent(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Read the address of the Consul agent."""
    no_password(ctx, param, [value or ""], "QUORATE_CONSUL")
    return not_empty(ctx, param, value)


def read_nodes(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Read URLs of nodes. A value may hold several, divided by commas or spaces."""
    from quorate.client.urls import split_urls
    from quorate.errors import Invalid

    no_password(ctx, param, values, "QUORATE_NODES")
    try:
        nodes = [url for value in values for url in split_urls(value)]
    except Invalid as error:
        raise click.BadParameter(error.detail, ctx, param) from None
    if not nodes:
        not_empty(ctx, param, "" if values else None)
    return nodes


def _from_consul(ctx: click.Context, nodes: list[str], consul: str | None) -> list[str]:
    """The nodes to ask. A flag outranks the environment; --node and --consul together are refused."""
    by_flag = {name for name in ("nodes", "consul") if is_by_flag(ctx, name)}
    if len(by_flag) > 1:
        raise click.UsageError("--node and --consul both say whom to ask: give one of them.", ctx)
    if not consul or (nodes and "consul" not in by_flag):
        return nodes
    from quorate.client.in_consul import nodes_in_consul
    from quorate.errors import ConfigError

    try:
        return nodes_in_consul(consul)
    except ConfigError as error:
        raise error if by_flag else ConfigError(f"QUORATE_CONSUL: {error.detail}") from None


def _warn_of_variables(ctx: click.Context) -> None:
    """Once, though a group and its command both ask nodes."""
    if ctx.meta.setdefault(WARNED, False) or not any(name.startswith("QUORATE_") for name in os.environ):
        return
    from quorate.config.environment import unknown_to_commands

    ctx.meta[WARNED] = True
    warn(unknown_to_commands(os.environ))


def token_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flag --token-file. `client_of` sends the token, so the command itself gets nothing of it."""
    decorated: Callable[..., Any] = click.option(
        "--token-file",
        type=click.Path(dir_okay=False),
        envvar="QUORATE_TOKEN_FILE",
        show_envvar=True,
        expose_value=False,
        callback=_keep_token,
        help="File that holds the token, where nodes want one.",
    )(command)
    return decorated


def _keep_token(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if not value or ctx.resilient_parsing:
        return
    from quorate.client.token_file import read_token
    from quorate.security.open_files import why_open

    path = Path(value)
    ctx.meta[TOKEN] = read_token(path)
    for why in why_open(path):
        echo(f"quorate: the token in {path} {why}", err=True)


def token_given() -> str | None:
    token: str | None = click.get_current_context().meta.get(TOKEN)
    return token


def ca_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flag --ca. `client_of` trusts what it names, so the command itself gets nothing of it."""
    decorated: Callable[..., Any] = click.option(
        "--ca",
        metavar="FILE",
        type=click.Path(),
        envvar="QUORATE_CA",
        show_envvar=True,
        expose_value=False,
        callback=_keep_ca,
        help="Certificates in PEM to trust, where nodes speak HTTPS.  [default: those of this host]",
    )(command)
    return decorated


def _keep_ca(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if ctx.resilient_parsing or not not_empty(ctx, param, value):
        return
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
    except ssl.SSLError:
        raise click.BadParameter(f"{value} holds no certificate in PEM", ctx, param) from None
    except OSError as error:
        raise click.BadParameter(f"{value} cannot be read: {error.strerror}", ctx, param) from None
    ctx.meta[CA] = value


def ca_given() -> str | None:
    ca: str | None = click.get_current_context().meta.get(CA)
    return ca


def asks_nodes(timeout_s: float = 10.0) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the flags --node, --consul, --token-file, --ca and --timeout. It gets `nodes` and `timeout_s`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def asking(*arguments: Any, nodes: list[str], consul: str | None, **others: Any) -> Any:
            context = click.get_current_context()
            _warn_of_variables(context)
            found = _from_consul(context, nodes, consul)
            try:
                return command(*arguments, nodes=found, **others)
            except QuorateError as error:
                error.detail = in_own_words(error)
                raise

        decorated: Callable[..., Any] = click.option(
            "--timeout",
            "timeout_s",
            type=NumberRange(0.1, 3600),
            default=timeout_s,
            show_default=True,
            help="Seconds after which to give up.",
        )(asking)
        decorated = ca_option(token_option(decorated))
        decorated = click.option(
            "--consul",
            metavar="ADDRESS",
            callback=read_agent,
            envvar="QUORATE_CONSUL",
            show_envvar=True,
            help="Find the nodes in Consul, host:port or URL.",
        )(decorated)
        return click.option(
            "--node",
            "nodes",
            metavar="URL",
            callback=read_nodes,
            multiple=True,
            envvar="QUORATE_NODES",
            show_envvar=True,
            help="URL of a node; several are tried in turn.  [default: ports 8001 to 8003 of this host]",
        )(decorated)

    return decorate


def level_option(default: str = "weak") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command that reads the flag --level."""
    return click.option(
        "--level",
        type=click.Choice(LEVELS),
        default=default,
        show_default=True,
        help="How new it must be: none, as the asked node has it; weak, as the leader has it; linearizable, surely "
        "newest.",
    )


as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts.")


def client_of(
    nodes: list[str],
    timeout_s: float,
    *,
    unreached_s: float | None = UNREACHED_S,
    patient: bool = False,
    shows_wait: bool = True,
) -> JsonClient:
    """`shows_wait`: say on a terminal that a request takes long. False for commands that show something else then."""
    from quorate.client.http import DEFAULT_NODES, JsonClient

    return JsonClient(
        nodes or DEFAULT_NODES,
        timeout_s=timeout_s,
        unreached_s=unreached_s,
        token=token_given(),
        ca=ca_given(),
        patient=patient,
        waiting=waiting if shows_wait else contextlib.nullcontext,
    )


def print_json(value: Any) -> None:
    """Print JSON, indented on a terminal, on one line for a program."""
    import msgspec

    data = msgspec.json.encode(value)
    echo(msgspec.json.format(data, indent=2 if sys.stdout.isatty() else -1))
