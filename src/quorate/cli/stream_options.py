"""The options that the commands of all networks share: where votes go, where options come from, what is remembered."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.node_options import as_json, asks_nodes
from quorate.cli.settings import warn
from quorate.cli.stream_polls import POLLS_OPTIONS, polls_flags
from quorate.cli.stream_settings import take_settings

if TYPE_CHECKING:
    from quorate.config import Config


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """`to` is "nsq" or "cluster". `config` has the sections [stream], [nsq] and [mongo], flags included."""

    config: Config
    to: str
    nodes: list[str]
    timeout_s: float
    state: Path
    new: bool  # forget the positions
    as_json: bool = False  # say in JSON how it ended


def stream_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command of a network these flags. It gets them as `options`."""

    @functools.wraps(command)
    def streaming(
        *arguments: Any,
        settings: Path | None,
        to: str | None,
        nsqd: tuple[str, ...],
        lookupd: tuple[str, ...],
        topic: str | None,
        both: bool,
        state: Path | None,
        listen: str | None,
        shard: str | None,
        shards: int | None,
        new: bool,
        as_json: bool,
        options_from: str | None,
        rules: tuple[str, ...],
        nodes: list[str],
        timeout_s: float,
        **others: Any,
    ) -> Any:
        from quorate.config import load

        flags: dict[str, Any] = {"nsq.nsqd": list(nsqd), "nsq.lookupd": list(lookupd), "nsq.topic": topic}
        flags |= polls_flags(options_from, rules)
        flags |= {"stream.to": to, "stream.both": both, "stream.state": str(state) if state else None}
        flags |= {"stream.listen": listen, "stream.shard": shard, "stream.shards": shards}
        flags["consul.address"] = click.get_current_context().params.get("consul")
        given = {name: value for name, value in flags.items() if value}
        given |= {name: value for name, value in take_settings(others).items() if value not in (None, ())}
        loaded = load(settings, flags=given)
        warn(loaded.warnings)
        config = loaded.config
        target = config.stream.to or ("nsq" if config.nsq.enabled else "cluster")
        folder = Path(config.stream.state) if config.stream.state else _state_folder()
        made = StreamOptions(config, target, nodes, timeout_s, folder, new, as_json)
        return command(*arguments, options=made, **others)

    decorated = asks_nodes(timeout_s=10.0)(streaming)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


_OPTIONS = (
    *POLLS_OPTIONS,
    click.option("--to", type=click.Choice(["nsq", "cluster"]), help="Where votes go.  [default: NSQ if it is named]"),
    click.option(
        "--nsqd", multiple=True, metavar="HOST:PORT", help="TCP address of an nsqd; several are tried in turn."
    ),
    click.option(
        "--lookupd", multiple=True, metavar="HOST:PORT", help="HTTP address of an nsqlookupd that knows them."
    ),
    click.option("--topic", help="Topic to publish to.  [default: votes]"),
    click.option("--both", is_flag=True, help="Publish to two nsqds, to survive the loss of one."),
    click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the positions.  [default: quorate/stream in $XDG_STATE_HOME or ~/.local/state]",
    ),
    click.option(
        "--listen",
        metavar="HOST:PORT",
        help="Address for /status, /metrics and /healthz; a port alone is of this host alone.",
    ),
    click.option("--shard", metavar="I/N", help="Read for a share of the options: 2/3 is the second of three."),
    click.option("--shards", type=click.IntRange(1, 1_000), help="Take a free share of so many in Consul (--consul)."),
    as_json,
    click.option("--new", is_flag=True, help="Forget the position, and begin as the first time."),
    click.option(
        "--config",
        "settings",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="QUORATE_CONFIG",
        help="A TOML file: its [stream], [nsq] and [mongo] are used.",
    ),
)


def _state_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "quorate/stream"
