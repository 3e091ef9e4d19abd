"""A refusal is told in the words of commands, not of HTTP, and with the command to type next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quorate.cluster import entry
from tests.support.http_node import Node
from tests.support.scripted_node import ScriptedNode, problem
from tests.unit.cli.told import Capture, Told

STALE = problem("stale", 503, detail="a majority did not confirm it in time; level=none answers from this node alone")
COMMANDS = {  # those that may ask this node alone
    "results": ("results", "mood"),
    "polls": ("polls", "list"),
    "one poll": ("polls", "show", "mood"),
    "export": ("export", "mood"),
}


@pytest.fixture
def refusing() -> Iterator[ScriptedNode]:
    scripted = ScriptedNode([STALE])
    yield scripted
    scripted.stop()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_level_is_named_as_the_command_takes_it(capsys: Capture, refusing: ScriptedNode, name: str) -> None:
    asked = ("--node", refusing.url, "--timeout", "20")
    told = Told(capsys, *COMMANDS[name], *asked)
    assert 3 == told.code
    assert "--level none answers from this node alone" in told.err
    assert "level=" not in told.err
    Told(capsys, *COMMANDS[name], *asked, "--level", "none")
    assert "level=none" in refusing.requests[-1][1]


def test_a_program_reads_the_same_words(capsys: Capture, refusing: ScriptedNode) -> None:
    told = Told(capsys, "results", "mood", "--json", "--node", refusing.url, "--timeout", "20")
    assert "--level none" in told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["history", "mood", "--from", "noon"], "--from is 'noon'"),
        (["history", "mood", "--step", "x"], "--step is 'x'"),
        (["history", "mood", "--from", "2h", "--step", "90s"], "give whole minutes as --step"),
        (["polls", "create", "one", "--option", "a"], "a poll needs at least 2, or --write-ins"),
    ],
)
def test_flags_are_named_as_flags(capsys: Capture, node: Node, arguments: list[str], said: str) -> None:
    told = Told(capsys, *arguments)
    assert 1 == told.code
    assert said in told.err


def test_a_poll_in_the_wrong_state_comes_with_the_commands(capsys: Capture, node: Node) -> None:
    node.call(node.replica.state.raise_level, entry.encode_raise(1))
    told = Told(capsys, "polls", "delete", "mood")
    assert "First: quorate polls close mood && quorate polls archive mood\n" in told.err
    assert "First: quorate polls close mood\n" in Told(capsys, "polls", "archive", "mood").err
    assert 0 == Told(capsys, "polls", "close", "mood").code
    assert "First: quorate polls archive mood\n" in Told(capsys, "polls", "delete", "mood").err
    assert 0 == Told(capsys, "polls", "create", "a b", "x", "y", "--draft").code
    assert "First: quorate polls open 'a b'\n" in Told(capsys, "polls", "close", "a b").err


@pytest.mark.parametrize("verb", ["results", "history", "export"])
def test_a_poll_that_is_not_there_comes_with_the_list(capsys: Capture, node: Node, verb: str) -> None:
    assert "All are listed by: quorate polls" in Told(capsys, verb, "mod").err


def test_a_closed_poll_says_how_it_is_opened(capsys: Capture, node: Node) -> None:
    Told(capsys, "polls", "close", "mood")
    told = Told(capsys, "vote", "happy", "--poll", "mood")
    assert "quorate polls open mood" in told.err
