"""A variable of the environment that nobody knows is told once, with the one that was surely meant."""

from __future__ import annotations

import pytest

from tests.support.http_node import Node
from tests.unit.cli.told import Capture, Told


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("QUORATE_NODE", "; did you mean QUORATE_NODES?"),
        ("QUORATE_TOKENFILE", "; did you mean QUORATE_TOKEN_FILE?"),
        ("QUORATE_RAFT_KEYFILE", "; did you mean QUORATE_RAFT_KEY_FILE?"),
        ("QUORATE_WHATEVER", ""),
    ],
)
def test_an_unknown_variable_is_told_by_name(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    told = Told(capsys, "polls", "list", "--json")
    assert (0, "mood") == (told.code, told.json["polls"][0]["id"])
    said = f"quorate: environment: no setting and no command knows {variable}, so it is passed over{meant}\n"
    assert said == told.err


def test_a_group_and_its_command_tell_it_once(node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_NODE", "x")
    assert 1 == Told(capsys, "settings", "show").err.count("QUORATE_NODES?")


def test_what_settings_commands_and_kubernetes_have_is_not_told(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("QUORATE_HTTP_LISTEN", "QUORATE_TRACEBACK", "QUORATE_SERVICE_HOST", "QUORATE_PORT_8001_TCP"):
        monkeypatch.setenv(variable, "x")
    assert "" == Told(capsys, "polls", "list").err
