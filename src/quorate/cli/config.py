"""`quorate config check` and `quorate config show`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.node_options import as_json, print_json
from quorate.cli.output import echo
from quorate.cli.settings import setting_flags, warn

if TYPE_CHECKING:
    from quorate.config import Config


@click.group()
def config() -> None:
    """Check and show settings."""


@config.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False, envvar="QUORATE_CONFIG")
@setting_flags
@as_json
def check(file: Path | None, flags: dict[str, Any], as_json: bool) -> None:
    """Say what is wrong with FILE, taken together with the environment and flags; nothing is started or changed."""
    from quorate.config import load
    from quorate.config.window import small_window

    loaded = load(file, flags=flags)
    small = small_window(loaded.config.votes.dedup_window, loaded.config.http.timeout_ms)
    warnings = [*loaded.warnings, *_differences(loaded.config), *([small] if small else [])]
    _check_tokens(loaded.config)
    _check_certificate(loaded.config)
    if as_json:
        node = loaded.config.node.id
        print_json({"file": str(file) if file else None, "ok": True, "node": node, "warnings": warnings})
    else:
        warn(warnings)
        members, expected = loaded.config.members(), loaded.config.raft.bootstrap_expect
        names = f"{', '.join(members)}" if len(members) > 1 else "a cluster of its own"
        if expected:
            names = f"a cluster of {expected} that find each other in Consul"
        echo(f"{file or 'settings'}: fine. This is {loaded.config.node.id} of {names}.")


def _check_certificate(config: Config) -> None:
    """Raises `ConfigError` if the certificate for HTTPS cannot be used: the node would not start."""
    if config.http.tls_pair is not None:
        from quorate.security.tls import check_pair

        check_pair(*config.http.tls_pair)


def _check_tokens(config: Config) -> None:
    """Raises `ConfigError` if the file of tokens cannot be taken: the node would not start."""
    if config.auth.file:
        from quorate.security.token_file import read_file

        read_file(Path(config.auth.file))


def _differences(config: Config) -> list[str]:
    """How the settings and the log in the data folder differ about addresses, if the log can be read."""
    if not Path(config.node.data).is_dir():
        return []
    from quorate.cluster.raft.membership.addresses import differences
    from quorate.cluster.raft.membership.members_on_disk import members_on_disk

    own = config.node.id
    logged = members_on_disk(Path(config.node.data), own)
    if own not in {member.id for member in logged}:
        return []
    configured = {**config.members(), own: config.raft_address()}
    found = differences({id: str(address) for id, address in configured.items()}, logged)
    return [f"raft.peers differs from the log in {config.node.data}: {each}" for each in found]


@config.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False, envvar="QUORATE_CONFIG")
@setting_flags
@as_json
def show(file: Path | None, flags: dict[str, Any], as_json: bool) -> None:
    """Show every setting, secrets masked, and where its value comes from."""
    from quorate.cli.table import print_table
    from quorate.config import load
    from quorate.config.write import shown, toml_value

    loaded = load(file, flags=flags)
    settings = shown(loaded)
    if as_json:
        print_json({s.name: {"value": value, "from": origin} for s, value, origin in settings})
    else:
        warn(loaded.warnings)
        print_table(
            ["SETTING", "VALUE", "FROM"], [[s.name, toml_value(value), origin] for s, value, origin in settings]
        )
