"""Feeding a file counts each vote once, also when it is repeated or interrupted; and bad files are refused first."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quorate.cli import main
from quorate.client.feed import Fed, FeedRefused, feed
from quorate.client.feed_start import BATCH_VOTES
from quorate.client.http import JsonClient, Producer
from quorate.client.lines import LINE_BYTES_MAX
from quorate.client.votes_file import VotesFile, scan
from quorate.errors import Conflict, Invalid, NoLeader
from quorate.vote import Tallied, Vote
from tests.support import http_node
from tests.support.http_node import Node


@pytest.fixture
def node() -> Iterator[Node]:
    with http_node.running() as started:
        assert 201 == started.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
        yield started


@pytest.fixture
def client(node: Node) -> Iterator[JsonClient]:
    with JsonClient([f"http://127.0.0.1:{node.port}"], timeout_s=60) as made:
        yield made


class Interrupted(JsonClient):
    """A client that loses its cluster after some batches."""

    batches = 1

    def cast_session(self, producer: Producer, votes: Sequence[Vote]) -> Tallied:
        self._count()
        return super().cast_session(producer, votes)

    def cast(self, votes: Sequence[Vote]) -> Tallied:
        self._count()
        return super().cast(votes)

    def _count(self) -> None:
        if self.batches == 0:
            raise NoLeader("lost")
        self.batches -= 1


def votes_file(folder: Path, *lines: str | bytes, **options: Any) -> VotesFile:
    path = folder / "votes"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return VotesFile(path, **options)


def run(client: JsonClient, file: VotesFile) -> tuple[int, int, int]:
    fed = feed(client, file, scan(file))
    return fed.applied, fed.duplicates, fed.skipped


def test_lines_are_options_or_votes_in_json(node: Node, client: JsonClient, tmp_path: Path) -> None:
    lines = ["\ufeffhappy", "", "  sad \r", '{"option":"sad","poll":"mood","weight":3}', "   "]
    assert (3, 0, 0) == run(client, votes_file(tmp_path, *lines))
    assert {"happy": 1, "sad": 4} == node.tally()


def test_the_same_file_fed_twice_counts_once(node: Node, client: JsonClient, tmp_path: Path) -> None:
    file = votes_file(tmp_path, *["happy", "sad", "happy"] * BATCH_VOTES)
    assert (3 * BATCH_VOTES, 0, 0) == run(client, file)
    assert (0, 0, 3 * BATCH_VOTES) == run(client, file)
    assert {"happy": 2 * BATCH_VOTES, "sad": BATCH_VOTES} == node.tally()


def test_an_interrupted_feed_goes_on_at_its_batch(node: Node, client: JsonClient, tmp_path: Path) -> None:
    file = votes_file(tmp_path, *["happy"] * (2 * BATCH_VOTES + 5))
    with Interrupted(client.nodes) as broken, pytest.raises(NoLeader):
        run(broken, file)
    assert (BATCH_VOTES + 5, 0, BATCH_VOTES) == run(client, file)
    assert 2 * BATCH_VOTES + 5 == node.tally()["happy"]


def test_a_changed_file_is_another_file_and_so_is_another_poll(node: Node, client: JsonClient, tmp_path: Path) -> None:
    assert (1, 0, 0) == run(client, votes_file(tmp_path, "happy"))
    assert (2, 0, 0) == run(client, votes_file(tmp_path, "happy", "sad"))
    assert (2, 0, 0) == run(client, votes_file(tmp_path, "happy", "sad", poll="mood"))


def test_where_votes_have_ids_these_decide(node: Node, client: JsonClient, tmp_path: Path) -> None:
    node.vote(option="happy", id="elsewhere")
    lines = [f'{{"option":"happy","id":"{id}"}}' for id in ("a", "b", "a", "elsewhere")] + ["sad"]
    assert (3, 2, 0) == run(client, votes_file(tmp_path, *lines))
    assert (0, 5, 0) == run(client, votes_file(tmp_path, *lines))
    assert {"happy": 3, "sad": 1} == node.tally()


def test_an_interrupted_feed_of_votes_with_ids_counts_each_once(node: Node, client: JsonClient, tmp_path: Path) -> None:
    file = votes_file(tmp_path, *(f'{{"option":"happy","id":"{n}"}}' for n in range(BATCH_VOTES + 5)))
    with Interrupted(client.nodes) as broken, pytest.raises(NoLeader):
        run(broken, file)
    assert (5, BATCH_VOTES, 0) == run(client, file)


def test_ids_can_be_ignored(node: Node, client: JsonClient, tmp_path: Path) -> None:
    lines = ['{"option":"happy","id":"a"}'] * 3
    assert (3, 0, 0) == run(client, votes_file(tmp_path, *lines, ignore_ids=True))
    assert (0, 0, 3) == run(client, votes_file(tmp_path, *lines, ignore_ids=True))


def test_more_votes_with_ids_than_are_protected_are_refused(
    client: JsonClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "status", lambda: {"state": {"dedup": {"size": 2}}})
    lines = [f'{{"option":"happy","id":"{n}"}}' for n in range(3)]
    with pytest.raises(Invalid, match="protects the last 2 ids"):
        run(client, votes_file(tmp_path, *lines))
    assert (2, 0, 0) == run(client, votes_file(tmp_path, *lines[:2]))


def test_a_file_may_have_as_many_ids_as_the_share_of_its_token_protects(
    client: JsonClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"caller": {"share": 3, "protected_ids": 2}, "state": {"dedup": {"size": 100}}}
    monkeypatch.setattr(client, "status", lambda: told)
    lines = [f'{{"option":"happy","id":"{n}"}}' for n in range(3)]
    with pytest.raises(Invalid, match=r"the last 2 ids of share 3, which the token has: .*out of auth\.file, cut"):
        run(client, votes_file(tmp_path, *lines))
    assert (2, 0, 0) == run(client, votes_file(tmp_path, *lines[:2]))


def test_a_refused_option_stops_in_words_and_the_rest_goes_on_later(
    node: Node, client: JsonClient, tmp_path: Path
) -> None:
    file = votes_file(tmp_path, *["happy"] * BATCH_VOTES, "", "sad", *["angry"] * 7)
    with pytest.raises(FeedRefused) as caught:
        run(client, file)
    detail = caught.value.detail
    assert f"line {BATCH_VOTES + 3:,}: no open poll has the option 'angry'" in detail
    assert "and 2 more" in detail
    assert f"lines {BATCH_VOTES + 2:,} to {BATCH_VOTES + 9:,}; none of it was counted" in detail
    node.ask("POST", "/polls", {"id": "more", "options": ["angry", "calm"]})
    assert (8, 0, BATCH_VOTES) == run(client, file)
    assert {"happy": BATCH_VOTES, "sad": 1} == node.tally()


def test_of_votes_with_ids_the_good_ones_beside_a_refused_one_count(
    node: Node, client: JsonClient, tmp_path: Path
) -> None:
    file = votes_file(tmp_path, '{"option":"happy","id":"a"}', '{"option":"angry","id":"b"}')
    with pytest.raises(FeedRefused, match="the rest of it was counted") as caught:
        run(client, file)
    assert [2] == caught.value.fields["lines"]
    assert 1 == node.tally()["happy"]


def test_a_session_further_than_the_file_is_refused(client: JsonClient, tmp_path: Path) -> None:
    file = votes_file(tmp_path, *["happy"] * (BATCH_VOTES + 1))
    run(client, file)
    shorter = scan(votes_file(tmp_path, "happy"))
    shorter.producer = scan_of(tmp_path, ["happy"] * (BATCH_VOTES + 1))
    with pytest.raises(Conflict, match="its last batches are not those of this file"):
        feed(client, votes_file(tmp_path, "happy"), shorter)


def scan_of(folder: Path, lines: Sequence[str]) -> str:
    return scan(votes_file(folder, *lines)).producer


def test_progress_is_told_after_each_batch(client: JsonClient, tmp_path: Path) -> None:
    file, seen = votes_file(tmp_path, *["happy"] * (BATCH_VOTES + 1)), list[int]()

    def note(fed: Fed) -> None:
        seen.append(fed.done)

    feed(client, file, scan(file), note)
    assert [0, BATCH_VOTES, BATCH_VOTES + 1] == seen


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"option":3}', "not a vote"),
        (b'{"option":"happy","colour":"red"}', "not a vote"),
        (b"{", "not a vote"),
        (b'{"option":"happy","weight":0}', "weight is 0"),
        (b"\xff", "not UTF-8"),
        (b"a\0b", "control character"),
        (b"x" * 257, "limit is 256"),
        (b"x" * (3 * LINE_BYTES_MAX), "longer than"),
    ],
)
def test_bad_lines_are_found_with_their_numbers(tmp_path: Path, line: bytes, why: str) -> None:
    found = scan(votes_file(tmp_path, "happy", line, "sad"))
    assert (2, 1, [2]) == (found.votes, found.bad_lines, [number for number, _ in found.bad])
    assert why in found.bad[0][1]


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def _asked(node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{node.port}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.usefixtures("_asked")
def test_a_bad_line_refuses_the_whole_file(node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = votes_file(tmp_path, "happy", *['{"option":3}'] * 12)
    assert 1 == main(["feed", str(file.path)])
    err = capsys.readouterr().err
    assert "line 2: not a vote" in err
    assert "and 2 more" in err
    assert 0 == node.tally()["happy"]


@pytest.mark.usefixtures("_asked")
def test_bad_lines_can_be_passed_over_and_the_same_again_counts_nothing(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = votes_file(tmp_path, "happy", '{"option":3}', "sad")
    assert 6 == main(["feed", str(file.path), "--skip-bad"])
    out, err = capsys.readouterr()
    assert "2 votes counted, 1 bad line passed over\n" == out
    assert "line 2 passed over: not a vote" in err
    assert 6 == main(["feed", str(file.path), "--skip-bad", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (2, 0, 0, 2) == tuple(report[name] for name in ("votes", "applied", "duplicates", "skipped"))
    assert [2] == [each["line"] for each in report["passed_over_lines"]]
    assert {"happy": 1, "sad": 1} == node.tally()


@pytest.mark.usefixtures("_asked")
def test_standard_input_is_a_file_like_any_other(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"happy\nhappy\n")))
        assert 0 == main(["feed", "-", "--poll", "mood"])
    assert ["2 votes counted", "0 votes counted, 2 had been counted before"] == capsys.readouterr().out.splitlines()
    assert 2 == node.tally()["happy"]
