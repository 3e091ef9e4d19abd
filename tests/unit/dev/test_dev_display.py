"""What `dev` shows: which nodes are up, how to start one that is down, and options as plain text."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from quorate import exit_code
from quorate.config import Address
from quorate.dev.display import Display, Lines, NodeRow, Picture, how_it_ended, rows_of, stopped_itself
from quorate.dev.poller import NodeView, Poller, TallyView, view_of
from quorate.dev.supervisor import Child
from quorate.processes.node import NodeProcess, Place


def row(id: str, state: str, view: NodeView | None = None, note: str = "") -> NodeRow:
    place = Place(id, Path("/data") / id, Address("127.0.0.1", 8000 + int(id[1:])), Address("127.0.0.1", 9001))
    return NodeRow(Child(NodeProcess(place)), view or NodeView(), 4711 if state == "up" else None, state, note)


def leader(version: int = 12) -> NodeView:
    return NodeView(True, "leader", 3, version, "all tallies up to version 12 are in sqlite")


def results(**votes: int) -> TallyView:
    return TallyView("mood", "How are you?", "open", votes, 12, 1234.5)


def start_command(child: Child) -> str:
    return f"start {child.place.id}"


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def picture(out: io.StringIO) -> Display:
    console = Console(file=out, force_terminal=True, width=100, height=50, color_system=None, legacy_windows=False)
    return Picture(console, "the footer", start_command)


def shown(out: io.StringIO, display: Display, rows: list[NodeRow], tally: TallyView | None) -> list[str]:
    display.show(rows, tally)
    display.close()
    return list(
        dict.fromkeys(line.strip() for line in out.getvalue().splitlines())
    )  # the picture is drawn more than once


def test_the_picture_shows_nodes_tally_flush_and_what_to_type(out: io.StringIO, picture: Display) -> None:
    rows = [
        row("n1", "up", leader()),
        row("n2", "up", NodeView(True, "follower", 3, 10)),
        row("n3", "down", note="why"),
    ]
    lines = shown(out, picture, rows, results(happy=3, sad=1))
    assert "n1    http://127.0.0.1:8001  leader       3       12    0     4711  up" in lines
    assert "n2    http://127.0.0.1:8002  follower     3       10    2     4711  up" in lines
    assert "n3 is down (why); start it again:" in lines
    assert "start n3" in lines
    assert "How are you?   mood, open: 4 votes, 1,234 a second" in lines
    assert [line.split()[:4] for line in lines if "%" in line] == [
        ["happy", "3", "75.0", "%"],
        ["sad", "1", "25.0", "%"],
    ]
    assert "Flush: all tallies up to version 12 are in sqlite" in lines
    assert "the footer" in lines


def test_a_node_that_was_removed_is_not_to_be_started_again(out: io.StringIO, picture: Display) -> None:
    gone = row("n3", "down").child
    gone.code = exit_code.REMOVED
    rows = rows_of([gone], Poller([gone.place], "mood"))
    assert ["removed"] == [each.state for each in rows]
    assert not any("start" in line for line in shown(out, picture, rows, None))


def test_a_node_that_halted_is_not_to_be_started_again(out: io.StringIO, picture: Display) -> None:
    child = row("n3", "down").child
    child.code = exit_code.HALTED
    rows = rows_of([child], Poller([child.place], "mood"))
    assert ["halted"] == [each.state for each in rows]
    assert not any("start" in line for line in shown(out, picture, rows, None))


GONE = "n3 stopped itself: this node was removed from the cluster (says n1)"


@pytest.mark.parametrize(
    ("last_line", "words"),
    [
        (f"2026-11-27T01:50:10.144Z CRITICAL n3 quorate.node: {GONE}", GONE),
        (f'{{"time":"2026-11-27T01:50:10.144Z","level":"critical","node":"n3","message":"{GONE}"}}', GONE),
        (
            "quorate: The data directory cannot be used: it is full",
            "n3 stopped itself: The data directory cannot be used: it is full",
        ),
        ("MemoryError", "n3 stopped itself: MemoryError"),
        ("", "n3 stopped itself; its log does not say why"),
    ],
)
def test_why_a_node_stopped_itself_is_one_sentence(last_line: str, words: str) -> None:
    assert words == stopped_itself("n3", last_line)


def test_a_command_to_copy_is_never_broken(out: io.StringIO) -> None:
    """Neither inside a quoted path nor between words, however narrow the terminal is."""
    command = "quorate node --config '/a folder with spaces/and a long name/cluster/n3/quorate.toml'"
    footer = "Try:\n  echo happy | quorate publish - --config '/a folder with spaces/n1/quorate.toml'"
    console = Console(file=out, force_terminal=True, width=60, height=50, color_system=None, legacy_windows=False)
    picture = Picture(console, footer, lambda _: command)
    for _ in range(3):
        picture.show([row("n1", "up", leader()), row("n3", "down", note="why")], None)
    picture.close()
    assert 1 == out.getvalue().count(command)
    assert 1 == out.getvalue().count(footer.splitlines()[1])
    assert "n3 is down (why)" in out.getvalue()


def test_options_are_text_not_markup(out: io.StringIO, picture: Display) -> None:
    lines = shown(out, picture, [row("n1", "up", leader())], results(**{"[red]x[/red]": 1, "🙂 a.b.$c": 2}))
    assert any(line.startswith("[red]x[/red]") for line in lines)
    assert any(line.startswith("🙂 a.b.$c") for line in lines)


def test_of_many_options_those_with_most_votes_are_shown(out: io.StringIO, picture: Display) -> None:
    lines = shown(out, picture, [row("n1", "up", leader())], results(**{f"o{n}": n for n in range(100)}))
    assert any(line.startswith("o99 ") for line in lines)
    assert not any(line.startswith("o5 ") for line in lines)
    assert "and 88 more" in lines


def test_without_votes_and_without_a_leader_it_says_so(out: io.StringIO, picture: Display) -> None:
    lines = shown(out, picture, [row("n1", "no answer"), row("n2", "restarting")], None)
    assert "no poll yet" in lines
    assert "Flush: nobody leads just now" in lines
    assert not any("start it again" in line for line in lines)


def test_elsewhere_a_line_for_each_event_and_none_twice(out: io.StringIO) -> None:
    lines = Lines(Console(file=out, width=40), start_command)
    for _ in range(2):
        lines.show([row("n1", "up", leader())], results(happy=3))
    for _ in range(2):
        lines.show([row("n1", "down", note=how_it_ended(-9))], results(happy=3))
    assert [
        "n1 is up at http://127.0.0.1:8001 (process 4711)",
        "n1 leads (term 3)",
        "mood: happy 3",
        "n1 is down (killed by signal 9); start it again: start n1",
    ] == out.getvalue().splitlines()


def test_elsewhere_a_node_that_says_nothing_is_told_in_a_sentence(out: io.StringIO) -> None:
    Lines(Console(file=out, width=40), start_command).show([row("n1", "no answer")], None)
    assert "n1 gives no answer\n" == out.getvalue()


def test_elsewhere_no_option_begins_a_line(out: io.StringIO) -> None:
    lines = Lines(Console(file=out, width=40), start_command)
    lines.show([], results(**{"happy\nn1 leads (term 9)": 3}))
    assert [r"mood: happy\nn1 leads (term 9) 3"] == out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("flush", "words"),
    [
        (None, ""),
        ({"last_success_version": None}, "sqlite: nothing written yet"),
        ({}, "all tallies up to version 7 are in sqlite"),
        ({"caught_up": False, "pending_polls": 2}, "all tallies up to version 7 are in sqlite, 2 polls to write"),
        ({"caught_up": False, "last_error": "disk full"}, "sqlite is behind: disk full"),
        ({"last_error": "was full"}, "all tallies up to version 7 are in sqlite"),
    ],
)
def test_the_flush_of_the_leader_is_told_in_words(flush: dict[str, object] | None, words: str) -> None:
    whole = {"sink": "sqlite", "caught_up": True, "pending_polls": 0, "last_success_version": 7, "last_error": None}
    status = {"version": 9, "raft": {"role": "leader", "term": 2}, "flush": None if flush is None else whole | flush}
    assert NodeView(True, "leader", 2, 9, words) == view_of(status)


def test_the_flush_to_several_sinks_is_told_for_each() -> None:
    whole = {"sink": "sqlite", "caught_up": True, "pending_polls": 0, "last_success_version": 7, "last_error": None}
    mongo = {**whole, "sink": "mongo", "last_success_version": None}
    status = {"version": 9, "raft": {"role": "leader", "term": 2}, "sinks": {"sqlite": whole, "mongo": mongo}}
    words = "all tallies up to version 7 are in sqlite; mongo: nothing written yet"
    assert NodeView(True, "leader", 2, 9, words) == view_of(status)


def test_a_follower_does_not_flush() -> None:
    status = {"version": 9, "raft": {"role": "follower", "term": 2}, "flush": {"sink": "sqlite"}}
    assert "" == view_of(status).flush
