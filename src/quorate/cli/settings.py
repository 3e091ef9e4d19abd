"""Flags for settings: `--set section.key=value` for each setting, and a flag of its own for the common ones."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import click

from quorate.cli.output import echo

if TYPE_CHECKING:
    from quorate.config import Setting

# Of a database's address: `…Password=…`, or a property of such an option, `…_TOKEN:…`. A path may have such a word.
SECRET_OPTION = re.compile(r"(?i)(password|token|secret)[^=&:/]*[=:]")

USUAL = {  # flag: (setting, help)
    "--id": ("node.id", "Name of this node."),
    "--data": ("node.data", "Folder of its log and snapshots."),
    "--http": ("http.listen", "host:port to serve HTTP on."),
    "--raft": ("raft.listen", "host:port for the links between nodes."),
    "--peer": ("raft.peers", "A node of the cluster, id=host:port; once for each, this one too."),
    "--log-level": ("log.level", "debug, info, warning or error."),
    "--bootstrap": ("raft.bootstrap", "Form a new cluster if the data folder is empty."),
    "--bootstrap-expect": ("raft.bootstrap_expect", "The same with so many nodes, which find each other in Consul."),
    "--consul": ("consul.address", "host:port or URL of the Consul agent."),
    "--insecure": ("raft.insecure", "Allow links beyond this host without raft.key."),
}


def setting_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all these flags. It gets them as one argument `flags`: {"section.key": value}."""

    @functools.wraps(command)
    def with_flags(**arguments: Any) -> Any:
        flags = pairs(arguments.pop("set"))
        for flag, (setting, _) in USUAL.items():
            value = arguments.pop(_name(flag))
            if value not in (None, (), False):
                refuse_secret(setting, str(value), hint=flag)
                flags[setting] = list(value) if isinstance(value, tuple) else value
        return command(**arguments, flags=flags)

    decorated: Callable[..., Any] = click.option(
        "--set", multiple=True, metavar="SECTION.KEY=VALUE", help="Any setting; docs/settings.md lists them."
    )(with_flags)
    for flag, (_, text) in reversed(USUAL.items()):
        kind: dict[str, Any] = {"multiple": True} if flag == "--peer" else {}
        if flag in ("--bootstrap", "--insecure"):
            kind = {"is_flag": True}
        decorated = click.option(flag, _name(flag), help=text, **kind)(decorated)
    return decorated


def warn(warnings: Iterable[str]) -> None:
    """Tell what was passed over, to people: on standard error, where `--json` puts nothing but errors."""
    for warning in warnings:
        echo(f"quorate: {warning}", err=True)


def _name(flag: str) -> str:
    return "set_" + flag.strip("-").replace("-", "_")


def pairs(texts: tuple[str, ...]) -> dict[str, Any]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or "." not in name:
            raise click.BadParameter(f"{text!r} is not section.key=value, as log.level=debug", param_hint="--set")
        refuse_secret(name, value, hint="--set")
        pairs[name] = value
    return pairs


def refuse_secret(name: str, value: str, *, hint: str) -> None:
    """Refuse a flag that sets a secret, because each user of the host sees the flags of all processes."""
    from quorate.config import SETTINGS

    setting = SETTINGS.get(name)
    if setting is None or setting.path or not _holds_secret(setting, value):
        return
    ways = [f"in the environment, as {setting.env}"]
    if setting.secret:
        ways.append(f"in a file that only its owner can read, named by {name}_file")
    raise click.BadParameter(
        f"all users of this host see a flag in the list of processes, so none sets {name} to a secret. "
        f"Give it {', or '.join(ways)}.",
        param_hint=hint,
    )


def _holds_secret(setting: Setting, value: str) -> bool:
    """An address is a secret only if a password stands in it."""
    if setting.secret and "://" not in str(setting.default):
        return True
    return "@" in value or (setting.secret and SECRET_OPTION.search(unquote(value.partition("?")[2])) is not None)
