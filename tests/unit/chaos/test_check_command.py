"""`quorate check`: its exit codes, what it shows, and that an empty check does not look clean."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

from quorate.chaos.checkers.evidence import Evidence
from quorate.chaos.history import Cast, End, Header, HistoryFile, NodeLook, PollPlan, Read, Record, SentVote
from quorate.cli import main

HEADER = Header(1, "test", 1, 0, {"n1": "http://localhost:1"}, 1000)
PLAN = PollPlan("mood", {"happy": 1}, 0.0)
ACK = Cast(
    number=1,
    client="c1",
    node="n1",
    begun=1.0,
    ended=2.0,
    outcome="ok",
    version=7,
    request="r1",
    votes=[SentVote("happy", "u1", "mood")],
    applied=1,
)
END = End(9.0, 2, True)


def final_read(happy: int) -> Read:
    seen = {"results": {"happy": happy}, "total": happy}
    common = {"number": 2, "client": "run", "node": "n1", "begun": 3.0, "ended": 4.0, "outcome": "ok", "version": 8}
    return Read(**common, **seen, poll="mood", level="linearizable", state="open", settles=True)  # type: ignore[arg-type]


def history(folder: Path, *records: Record) -> Path:
    path = folder / "history.ndjson"
    file = HistoryFile(path)
    for record in records:
        file.write(record)
    file.close()
    return path


def test_a_clean_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = history(tmp_path, HEADER, PLAN, ACK, final_read(1), END)
    assert 0 == main(["check", str(path)])
    shown = capsys.readouterr().out
    assert "Clean: no property is violated." in shown
    assert "1 acknowledged votes" in shown


def test_a_lost_vote_is_shown_with_the_lines_that_prove_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = history(tmp_path, HEADER, PLAN, ACK, final_read(0), END)
    assert 1 == main(["check", str(path), "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert "violated" == answer["verdict"]
    (violation,) = answer["violations"]
    assert "counted_once" == violation["property"]
    assert {"read", "cast"} == {each["record"] for each in violation["operations"]}


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([HEADER], "no end"),
        ([HEADER, PLAN, END], "no vote was acknowledged"),
        ([HEADER, PLAN, ACK, END], "no tally was read"),
        ([HEADER, PLAN, ACK, final_read(1)], "no end"),
        ([HEADER, PLAN, ACK, final_read(1), End(9.0, 2, False, "n3 did not come back")], "n3 did not come back"),
    ],
)
def test_what_shows_too_little_is_inconclusive(
    records: list[Record], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 5 == main(["check", str(history(tmp_path, *records))])
    assert reason in capsys.readouterr().out


def test_what_was_asked_for_and_not_reached_is_inconclusive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = Header(1, "test", 1, 0, {}, 1000, asked_to_reach=["duplicate-answer"])
    assert 5 == main(["check", str(history(tmp_path, header, PLAN, ACK, final_read(1), END))])
    assert "asked to reach duplicate-answer" in capsys.readouterr().out


def test_a_torn_last_line_is_no_end(tmp_path: Path) -> None:
    path = history(tmp_path, HEADER, PLAN, ACK, final_read(1), END)
    path.write_bytes(path.read_bytes()[:-5])
    assert 5 == main(["check", str(path)])


@pytest.mark.parametrize("content", [b"", b"no history\n", b'{"record":"end","at":1,"operations":0,"settled":true}\n'])
def test_what_is_no_history_is_wrong_usage(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "history.ndjson"
    path.write_bytes(content)
    assert 2 == main(["check", str(path)])
    assert "history" in capsys.readouterr().err
    assert 2 == main(["check", str(tmp_path / "nothing")])


def test_a_report_over_the_history_is_refused_and_the_history_is_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = history(tmp_path, HEADER, PLAN, ACK, final_read(1), END)
    before = path.read_bytes()
    (tmp_path / "link").symlink_to(path)
    assert 2 == main(["check", str(path), "--report", str(tmp_path / "link")])
    assert "the report would be written over the history" in capsys.readouterr().err
    assert before == path.read_bytes()


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = history(tmp_path, HEADER, PLAN, ACK, final_read(1), END)
    assert 2 == main(["check", str(path), "--report", "/proc/report.html"])
    told = capsys.readouterr()
    assert "" == told.out
    assert "/proc/report.html cannot be written" in told.err
    assert 0 == main(["check", str(path), "--report", str(tmp_path / "report.html")])
    assert "<!doctype html>" in (tmp_path / "report.html").read_text()


def test_a_pipe_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert 2 == main(["check", str(tmp_path / "pipe")])
    assert "give a file: it is read more than once" in capsys.readouterr().err


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), sqlite3.OperationalError("disk is full")])
def test_what_keeps_a_check_from_its_verdict_is_no_violation(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Evidence, "flush", fail)
    assert 5 == main(["check", str(history(tmp_path, HEADER, PLAN, ACK, final_read(1), END))])
    told = capsys.readouterr().err
    assert str(error.args[-1]) in told
    assert "This is a bug" not in told


def test_the_table_of_ids_is_measured_by_the_window_that_it_is_for(tmp_path: Path) -> None:
    look = NodeLook(2.0, "n1", "leader", dedup_ids=2_500)
    shared = msgspec.structs.replace(HEADER, dedup_table=1_250)
    assert 1 == main(["check", str(history(tmp_path, HEADER, PLAN, ACK, look, final_read(1), END))])
    assert 0 == main(["check", str(history(tmp_path, shared, PLAN, ACK, look, final_read(1), END))])
