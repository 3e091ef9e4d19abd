"""What holds for each command there is, found in the tree of commands itself."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from quorate.cli import quorate
from quorate.config import SETTINGS
from quorate.config.environment import OF_COMMANDS

NO_JSON = {
    "dev": "it runs until Ctrl-C, and shows a picture",
    "node": "it runs until it is stopped, and writes a log (log.format)",
    "completion": "a shell reads it",
}


def commands(above: click.Command = quorate, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(above, click.Group):
        yield " ".join(path), above
        return
    context = click.Context(above)
    for name in above.list_commands(context):
        command = above.get_command(context, name)
        assert command is not None
        yield from commands(command, (*path, name))


ALL = dict(commands())


def flags(command: click.Command) -> set[str]:
    return {flag for parameter in command.params for flag in parameter.opts}


@pytest.mark.parametrize("name", ALL)
def test_each_command_answers_programs(name: str) -> None:
    assert ("--json" in flags(ALL[name])) == (name not in NO_JSON)


@pytest.mark.parametrize("name", [name for name in ALL if "--node" in flags(ALL[name])])
def test_whoever_asks_nodes_can_name_a_token_and_a_time(name: str) -> None:
    assert {"--consul", "--token-file", "--ca", "--timeout"} <= flags(ALL[name])


def test_exceptions_are_of_commands_that_exist() -> None:
    assert set(NO_JSON) <= set(ALL)


def test_a_variable_that_a_command_reads_is_known() -> None:
    read = {str(each.envvar) for command in ALL.values() for each in command.params if each.envvar}
    assert read <= {*OF_COMMANDS, *(setting.env for setting in SETTINGS.values())}
    assert {"QUORATE_NODES", "QUORATE_CA"} <= read
