"""`quorate polls` and `quorate results`: what they change, and what they print."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.cluster import entry
from tests.support.http_node import Node
from tests.unit.cli.told import Capture, Told


def test_a_poll_is_created_closed_opened_and_archived(node: Node, capsys: Capture, tmp_path: Path) -> None:
    more = tmp_path / "options"
    more.write_text("soup\nstew\n\n")
    arguments = ["lunch", "--title", "Lunch?", "--option", "pizza", "--options-file", str(more), "--draft"]
    assert "lunch: created\n" == Told(capsys, "polls", "create", *arguments).out
    assert "lunch: was there already, the same\n" == Told(capsys, "polls", "create", *arguments).out
    for command, state in (("open", "open"), ("close", "closed"), ("open", "open"), ("close", "closed")):
        assert f"lunch: {state}\n" == Told(capsys, "polls", command, "lunch").out
    assert "archived" == Told(capsys, "polls", "archive", "lunch", "--json").json["state"]
    shown = Told(capsys, "polls", "show", "lunch", "--json").json
    assert ("Lunch?", ["pizza", "soup", "stew"], "archived") == (shown["title"], shown["options"], shown["state"])


def test_a_poll_is_edited(node: Node, capsys: Capture, tmp_path: Path) -> None:
    node.call(node.replica.state.raise_level, entry.encode_raise(1))
    more = tmp_path / "options"
    more.write_text("angry\ncalm\n")
    arguments = ["mood", "--add-option", "tired", "--options-file", str(more), "--title", "How?", "--closes-at", "+2h"]
    assert "mood: changed\n" == Told(capsys, "polls", "edit", *arguments).out
    shown = Told(capsys, "polls", "show", "mood", "--json").json
    assert ("How?", ["happy", "sad", "tired", "angry", "calm"]) == (shown["title"], shown["options"])
    assert shown["closes_at"].endswith("Z")
    changed = Told(capsys, "polls", "edit", "mood", "--closes-at", "never", "--json").json
    assert (None, True) == (changed["closes_at"], changed["changed"])
    again = Told(capsys, "polls", "edit", "mood", "--option", "calm", "--closes-at", "never")
    assert (0, "mood: nothing to change, it is so already\n") == (again.code, again.out)


def test_polls_alone_lists_them_with_its_options(node: Node, capsys: Capture) -> None:
    assert ["mood", "open", "2", "mood", "happy,", "sad"] == Told(capsys, "polls").out.splitlines()[1].split()
    assert [] == Told(capsys, "polls", "--state", "closed", "--json").json["polls"]
    assert "There is no poll yet" in Told(capsys, "polls", "--state", "draft").out


@pytest.mark.parametrize(("text", "stored"), [("2030-01-31T14:00:00+02:00", "2030-01-31T12:00:00.000Z"), ("+2h", "Z")])
def test_a_poll_closes_at_a_time(node: Node, capsys: Capture, text: str, stored: str) -> None:
    told = Told(capsys, "polls", "create", "p", "--option", "a", "--option", "b", "--closes-at", text, "--json")
    assert told.json["closes_at"].endswith(stored)


def test_results_of_the_only_open_poll_need_no_name(node: Node, capsys: Capture) -> None:
    node.vote(option="happy", id="u1", weight=1_000)
    told = Told(capsys, "results")
    assert ["OPTION  VOTES", "happy   1,000", "sad         0"] == told.out.splitlines()[:3]
    assert "1,000 votes in mood (open), version " in told.out
    assert {"happy": 1_000, "sad": 0} == Told(capsys, "results", "mood", "--level", "linearizable", "--json").json[
        "results"
    ]


def test_of_several_open_polls_one_must_be_named(node: Node, capsys: Capture) -> None:
    node.ask("POST", "/polls", {"id": "lunch", "options": ["pizza", "soup"]})
    told = Told(capsys, "results")
    assert 2 == told.code
    assert "Which poll? Open are: mood, lunch" in told.err


def test_watching_prints_a_line_for_each_change_until_interrupted(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = iter([1, 2])

    def pause(_: float) -> None:
        if next(pauses, None) is None:
            raise KeyboardInterrupt
        node.vote(option="happy", id="u1")

    monkeypatch.setattr("quorate.cli.results.time.sleep", pause)
    told = Told(capsys, "results", "--watch")
    assert 130 == told.code
    assert ["happy 0  sad 0", "happy 1  sad 0"] == [line.partition(": ")[2] for line in told.out.splitlines()]


def test_a_poll_is_deleted_and_the_new_one_of_its_name_is_not(node: Node, capsys: Capture) -> None:
    node.call(node.replica.state.raise_level, entry.encode_raise(1))
    Told(capsys, "polls", "create", "lunch", "pizza", "soup")
    refused = Told(capsys, "polls", "delete", "lunch")
    assert (1, True) == (refused.code, "archive it" in refused.err)
    for command in ("close", "archive"):
        Told(capsys, "polls", command, "lunch")
    number = Told(capsys, "polls", "show", "lunch", "--json").json["creation"]
    assert "lunch: deleted\n" == Told(capsys, "polls", "delete", "lunch").out
    assert 1 == Told(capsys, "polls", "delete", "lunch").code
    Told(capsys, "polls", "create", "lunch", "pizza", "soup", "--draft")
    assert 1 == Told(capsys, "polls", "delete", "lunch", "--creation", str(number)).code
    assert "creation" in Told(capsys, "polls", "show", "lunch").out
    deleted = Told(capsys, "polls", "delete", "lunch", "--json").json
    assert ("lunch", "deleted", "draft") == (deleted["id"], deleted["state"], deleted["before"])
    for name in ("one", "two"):
        Told(capsys, "polls", "create", name, "a", "b", "--draft")
    assert "one: deleted\ntwo: deleted\n" == Told(capsys, "polls", "delete", "one", "two").out
    assert 2 == Told(capsys, "polls", "delete", "one", "two", "--creation", "1").code


def test_producers_are_listed_and_forgotten(node: Node, capsys: Capture) -> None:
    node.call(node.replica.state.raise_level, entry.encode_raise(1))
    assert "There is no producer session.\n" == Told(capsys, "producers", "list").out
    for name in ("a/1", "b"):
        assert 200 == node.ask("POST", "/producers", {"producer": name}).status
    assert ["a/1", "b"] == [each["producer"] for each in Told(capsys, "producers", "list", "--json").json]
    assert "a/1: forgotten\nb: forgotten\n" == Told(capsys, "producers", "forget", "a/1", "b").out
    assert 200 == node.ask("POST", "/producers", {"producer": "used"}).status
    header = {"X-Quorate-Producer": "used;epoch=1;sequence=1"}
    assert 200 == node.ask("POST", "/votes", [{"option": "happy"}], header).status
    assert 200 == node.ask("POST", "/producers", {"producer": "idle"}).status
    assert "idle: forgotten\n" == Told(capsys, "producers", "forget", "--unused").out
    assert "no session that never counted" in Told(capsys, "producers", "forget", "--unused").out
    assert {2} == {Told(capsys, "producers", "forget", *words).code for words in ([], ["a", "b", "--epoch", "1"])}
    gone = Told(capsys, "producers", "forget", "b")
    assert (1, True) == (gone.code, "was forgotten" in gone.err)
