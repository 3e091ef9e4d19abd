"""Feeding a file again does what `feed` says: a corrected file goes on, and what is not certain is refused in words."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from quorate.cli import main
from quorate.client.feed import feed
from quorate.client.feed_start import BATCH_VOTES
from quorate.client.http import JsonClient, Producer
from quorate.client.votes_file import VotesFile, scan
from quorate.vote import Tallied, Vote
from tests.support import http_node
from tests.support.http_node import Node

B = BATCH_VOTES


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Node]:
    with http_node.running() as started:
        assert 201 == started.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
        monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{started.port}")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        yield started


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "votes.txt"


def write(file: Path, *lines: str) -> None:
    file.write_text("\n".join(lines))


def run(*arguments: object) -> int:
    return main(["feed", *map(str, arguments)])


def lose_checkpoints(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "state")


class Killed(BaseException):
    """The command dies at this point."""


def kill_at(monkeypatch: pytest.MonkeyPatch, batch: int, *, counted: bool) -> None:
    """Kill the command at a batch: before it is sent, or when it is counted (or refused) and nobody heard of it."""
    cast, left = JsonClient.cast_session, [batch]

    def cast_session(self: JsonClient, session: Producer, votes: Sequence[Vote]) -> Tallied:
        left[0] -= 1
        if left[0] == 0 and not counted:
            raise Killed
        try:
            return cast(self, session, votes)
        finally:
            if left[0] == 0:
                raise Killed

    monkeypatch.setattr(JsonClient, "cast_session", cast_session)


# ---- a corrected file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corrected", [["happy"], [], ["sad", "sad"]])
def test_a_corrected_file_goes_on_where_it_stopped(
    node: Node, file: Path, corrected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(file, *["happy"] * (2 * B + 3), "hapy", *["sad"] * 9)
    assert 1 == run(file)
    err = capsys.readouterr().err
    assert f"line {2 * B + 4:,}: no open poll has the option 'hapy'; did you mean happy" in err
    assert f"feed the same file again: it goes on at line {2 * B + 1:,}" in err
    write(file, *["happy"] * (2 * B + 3), *corrected, *["sad"] * 9)
    assert 0 == run(file)
    assert f"{12 + len(corrected)} votes counted, {2 * B:,} had been counted before" in capsys.readouterr().out
    assert 2 * B + 12 + len(corrected) == sum(node.tally().values())
    assert 0 == run(file)
    assert 2 * B + 12 + len(corrected) == sum(node.tally().values())


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_killed_anywhere_then_corrected_and_fed_again_counts_each_line_once(
    node: Node, file: Path, batch: int, counted: bool
) -> None:
    write(file, *["happy"] * (3 * B), "hapy")
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, batch, counted=counted)
        with pytest.raises(Killed):
            run(file)
    write(file, *["happy"] * (3 * B), "sad", "sad")
    assert 0 == run(file)
    assert {"happy": 3 * B, "sad": 2} == node.tally()


@pytest.mark.parametrize("opening", [1, 2, 3])
def test_killed_before_anything_is_counted_it_begins_at_the_start(node: Node, file: Path, opening: int) -> None:
    write(file, "happy", "hapy")
    with pytest.MonkeyPatch.context() as patch:
        opened, left = JsonClient.open_producer, [opening]

        def open_producer(self: JsonClient, producer: str, *, new: bool = False) -> Producer:
            session = opened(self, producer, new=new)
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return session

        patch.setattr(JsonClient, "open_producer", open_producer)
        with pytest.raises(Killed):
            run(file)
    write(file, "happy", "happy")
    assert 0 == run(file)
    assert {"happy": 2, "sad": 0} == node.tally()


def test_lines_that_were_added_to_a_complete_file_are_counted_alone(node: Node, file: Path) -> None:
    write(file, *["happy"] * (B + 5))
    assert 0 == run(file)
    write(file, *["happy"] * (B + 7), "sad")
    assert 0 == run(file)
    assert {"happy": B + 7, "sad": 1} == node.tally()


def test_a_corrected_file_that_mixes_ids_and_none_counts_each_line_once(node: Node, file: Path) -> None:
    with_ids = [f'{{"option":"happy","id":"{n}"}}' for n in range(5)]
    write(file, *with_ids, "happy", "hapy", "sad", "happy", *["sad"] * B)
    assert 1 == run(file)
    write(file, *with_ids, "happy", "sad", "happy", *["sad"] * B)
    assert 0 == run(file)
    assert {"happy": 7, "sad": B + 1} == node.tally()


# ---- refused --------------------------------------------------------------------------------------------------------


def test_a_file_whose_counted_part_changed_is_refused_and_nothing_counts(
    node: Node, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(file, *["happy"] * B, "hapy")
    assert 1 == run(file)
    write(file, "sad", *["happy"] * (B - 1), "happy")
    assert 1 == run(file)
    err = capsys.readouterr().err
    assert f"counted up to line {B:,}, and something before that line has changed" in err
    assert {"happy": B, "sad": 0} == node.tally()
    assert 0 == run(file, "--new")
    assert {"happy": 2 * B, "sad": 1} == node.tally()
    assert 0 == run(file, "--new")
    assert {"happy": 2 * B, "sad": 1} == node.tally()


def test_other_options_are_refused_while_a_file_is_half_counted(
    node: Node, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(file, *["happy"] * B, "hapy")
    assert 1 == run(file)
    assert 1 == run(file, "--poll", "mood")
    assert "with other options" in capsys.readouterr().err
    assert B == node.tally()["happy"]


def test_a_lost_checkpoint_never_counts_twice(
    node: Node, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(file, *["happy"] * (2 * B), "hapy")
    assert 1 == run(file)
    lose_checkpoints(tmp_path)
    write(file, *["happy"] * (2 * B), "sad")
    for _ in range(2):
        assert 1 == run(file)
        assert "its checkpoint is not here" in capsys.readouterr().err
    assert {"happy": 2 * B, "sad": 0} == node.tally()
    write(file, *["happy"] * (2 * B), "hapy")
    assert 6 == run(file, "--skip-bad")  # the same content has its own session, which goes on
    assert 2 * B == node.tally()["happy"]


def test_an_old_copy_of_a_checkpoint_is_refused(
    node: Node, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(file, *["happy"] * B, "hapy")
    assert 1 == run(file)
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    write(file, *["happy"] * (3 * B), "hapy")
    assert 1 == run(file)
    shutil.rmtree(tmp_path / "state")
    shutil.move(tmp_path / "copy", tmp_path / "state")
    write(file, *["happy"] * (3 * B), "sad")
    assert 1 == run(file)
    assert "they do not belong together" in capsys.readouterr().err
    assert {"happy": 3 * B, "sad": 0} == node.tally()


def test_two_feeds_of_one_file_do_not_run_at_once(node: Node, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(file, "happy")
    with pytest.MonkeyPatch.context() as patch:
        cast = JsonClient.cast_session

        def cast_session(self: JsonClient, session: Producer, votes: Sequence[Vote]) -> Tallied:
            assert 1 == run(file)
            return cast(self, session, votes)

        patch.setattr(JsonClient, "cast_session", cast_session)
        assert 0 == run(file)
    assert "is being fed by another" in capsys.readouterr().err
    assert 1 == node.tally()["happy"]


# ---- names ----------------------------------------------------------------------------------------------------------


def test_files_of_one_name_in_two_folders_are_two_feeds_and_a_copy_counts_nothing(node: Node, tmp_path: Path) -> None:
    one, two, copy = (tmp_path / name / "votes.txt" for name in ("one", "two", "copy"))
    for path, lines in ((one, ["happy"]), (two, ["happy", "sad"]), (copy, ["happy"])):
        path.parent.mkdir()
        write(path, *lines)
        assert 0 == run(path)
    assert {"happy": 2, "sad": 1} == node.tally()


def test_a_corrected_copy_counts_nothing_before_one_says_what_it_is(
    node: Node, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(file, *["happy"] * B, "hapy")
    assert 1 == run(file)
    fixed = tmp_path / "fixed.txt"
    write(fixed, *["happy"] * B, "sad")
    assert 1 == run(fixed)
    (session,) = re.findall(r"--session (\S+) goes on there", capsys.readouterr().err)
    assert B == sum(node.tally().values())
    assert 0 == run(fixed, "--session", session)
    assert {"happy": B, "sad": 1} == node.tally()


def test_a_session_by_name_goes_on_whatever_the_file_is_called(node: Node, file: Path, tmp_path: Path) -> None:
    write(file, *["happy"] * B, "hapy")
    assert 1 == run(file, "--session", "booth 1")
    fixed = tmp_path / "fixed.txt"
    write(fixed, *["happy"] * B, "sad")
    assert 0 == run(fixed, "--session", "booth 1")
    assert {"happy": B, "sad": 1} == node.tally()
    assert 0 == run(fixed, "--session", "booth 2")
    assert {"happy": 2 * B, "sad": 2} == node.tally()


def test_a_session_of_0_1_0_goes_on_where_it_was(node: Node, file: Path) -> None:
    """Version 0.1.0 kept no checkpoint: its sessions are named after the content, or by --producer."""
    write(file, *["happy"] * (2 * B), "sad")
    for name, options in (("old", ["--session", "old"]), (scan(VotesFile(file)).producer, [])):
        before = node.tally()["happy"]
        with JsonClient([f"http://127.0.0.1:{node.port}"]) as client:
            session = client.open_producer(name)
            for _ in range(2):
                client.cast_session(session, [Vote("happy") for _ in range(B)])
        assert 0 == run(file, *options)
        assert before + 2 * B == node.tally()["happy"]


def test_a_session_with_other_batches_and_no_checkpoint_is_refused(
    node: Node, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with JsonClient([f"http://127.0.0.1:{node.port}"]) as client:
        client.cast_session(client.open_producer("old"), [Vote("sad") for _ in range(B)])
    write(file, *["happy"] * (2 * B))
    assert 1 == run(file, "--session", "old")
    assert "its last batches are not those of this file" in capsys.readouterr().err
    assert {"happy": 0, "sad": B} == node.tally()


def test_another_cluster_counts_the_file_from_its_start(
    node: Node, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(file, "happy")
    status = {"node": "n1", "state": {"cluster_id": "another"}}
    assert 0 == run(file)
    with http_node.running(status=lambda: status) as other:
        assert 201 == other.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
        monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{other.port}")
        assert 0 == run(file)
        assert 1 == other.tally()["happy"]


def test_a_feed_without_a_checkpoint_goes_on_by_content(node: Node, file: Path) -> None:
    write(file, *["happy"] * (B + 1))
    votes = VotesFile(file)
    with JsonClient([f"http://127.0.0.1:{node.port}"]) as client:
        assert [B + 1, 0] == [feed(client, votes, scan(votes)).applied for _ in range(2)]


# ---- standard input -------------------------------------------------------------------------------------------------


def pipe(text: str, *arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        return run("-", *arguments)


def test_a_corrected_text_goes_on_by_the_session_that_the_message_names(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == pipe("happy\n" * B + "hapy\n")
    (session,) = re.findall(r"--session (\S+):", capsys.readouterr().err)
    corrected = "happy\n" * B + "sad\n"
    assert 1 == pipe(corrected)
    assert f"--session {session} goes on there" in capsys.readouterr().err
    assert 0 == pipe(corrected, "--session", session)
    assert {"happy": B, "sad": 1} == node.tally()


def test_another_text_that_begins_alike_counts_whole_if_one_says_so(node: Node) -> None:
    assert 1 == pipe("happy\n" * B + "hapy\n")
    assert 0 == pipe("happy\n" * (B + 1), "--new")
    assert 0 == pipe("sad\n")
    assert {"happy": 2 * B + 1, "sad": 1} == node.tally()


# ---- lines that are passed over -------------------------------------------------------------------------------------


def test_unknown_options_are_passed_over_and_told(node: Node, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(file, "option", *["happy"] * B, "hapy", "sad", *["maybe"] * (2 * B), "sad")
    for applied in (B + 2, 0):
        assert 6 == run(file, "--skip-bad", "--json")
        report = json.loads(capsys.readouterr().out)
        assert (applied, 2 * B + 2) == (report["applied"], report["passed_over"])
        lines = report["passed_over_lines"]
        assert [1, B + 2, B + 4] == [each["line"] for each in lines[:3]]
        assert lines[0]["reason"].startswith("no open poll has the option 'option'")
    assert {"happy": B, "sad": 2} == node.tally()


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_killed_while_lines_are_passed_over_counts_each_line_once(
    node: Node, file: Path, batch: int, counted: bool
) -> None:
    write(file, *["maybe"] * (B + 5), *["happy"] * (2 * B), "hapy", *["sad"] * B)
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, batch, counted=counted)
        with pytest.raises(Killed):
            run(file, "--skip-bad")
    assert 6 == run(file, "--skip-bad")
    assert {"happy": 2 * B, "sad": B} == node.tally()


def test_votes_with_ids_that_conflict_are_passed_over(
    node: Node, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        f'{{"option":"{option}","id":"{id}"}}' for option, id in (("happy", 1), ("sad", 1), ("hapy", 2), ("sad", 3))
    ]
    write(file, *lines)
    assert 6 == run(file, "--skip-bad")
    err = capsys.readouterr().err
    assert "line 2 passed over: " in err
    assert "line 3 passed over: " in err
    assert {"happy": 1, "sad": 1} == node.tally()


def test_a_closed_poll_is_not_passed_over(node: Node, file: Path) -> None:
    node.ask("POST", "/polls/mood/state", {"state": "closed"})
    write(file, "happy")
    assert 1 == run(file, "--skip-bad", "--poll", "mood")
    node.ask("POST", "/polls/mood/state", {"state": "open"})
    assert 0 == run(file, "--skip-bad", "--poll", "mood")
    assert 1 == node.tally()["happy"]
