"""docs/commands.md and docs/http.md say what the code says, and know every exit code."""

from __future__ import annotations

import re

import click

from quorate import exit_code
from quorate.cli import COMMANDS, quorate
from scripts.references import commands, routes
from tests.support.checkout import ROOT

NAMES = {value: name for name, value in vars(exit_code).items() if name.isupper()}
OF_EVERY_COMMAND = {"DONE", "FAILED", "USAGE", "NOT_REACHED", "UNKNOWN", "INTERRUPTED"}


def test_the_page_of_commands_is_up_to_date() -> None:
    assert commands.page() == (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), "run: make references"


def test_the_page_of_routes_is_up_to_date() -> None:
    assert routes.page() == (ROOT / "docs" / "http.md").read_text(encoding="utf-8"), "run: make references"


def test_every_exit_code_has_its_line() -> None:
    assert set(NAMES) == set(commands.CODES)


def test_codes_of_one_command_alone_are_told_where_it_is_described() -> None:
    """The module of a command names the code that no other command has."""
    told = {path: {NAMES[code] for code in codes} for path, codes in commands.OWN_CODES.items()}
    for name, (module, _) in COMMANDS.items():
        text = (ROOT / "src" / "quorate" / "cli" / f"{module}.py").read_text(encoding="utf-8")
        if found := re.search(r"^from quorate\.exit_code import (.*)$", text, re.M):
            rare = set(found[1].split(", ")) - OF_EVERY_COMMAND
            assert rare <= told.get(name, set()), name


def test_codes_are_told_of_commands_that_exist() -> None:
    for path in commands.OWN_CODES:
        command: click.Command | None = quorate
        for name in path.split():
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), name)
        assert command is not None, path
