"""Histories that another program wrote, or changed: other spaces, another order, numbers as large as JSON allows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.chaos.figures import figures_of
from quorate.chaos.history import LINE_BYTES_MAX, Cast, Fault, NodeLook, Record, SentVote
from quorate.chaos.report.gathering import gather
from quorate.chaos.verdict import judge
from quorate.chaos.workload.probe import NAME
from quorate.cli import main
from quorate.errors import Invalid
from tests.unit.chaos.report_files import random_history, with_a_lost_vote, write_history

TIMES = ("at", "begun", "ended", "until")


def written_anew(path: Path, to: Path, **how: Any) -> Path:
    """Each line as JSON's own writer makes it."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    to.write_text("".join(json.dumps(line, **how) + "\n" for line in lines))
    return to


def probe_at(number: int, begun: float) -> Cast:
    votes = [SentVote("a", f"probe-{number}", "p")]
    given = {"begun": begun, "ended": begun + 0.1, "outcome": "ok", "applied": 1, "version": 1_000_000 + number}
    return Cast(number=9_000 + number, client=NAME, node="n1", request=f"probe-{number}", votes=votes, **given)  # type: ignore[arg-type]


def probed_history() -> list[Record]:
    first, *middle, last = random_history()
    probes: list[Record] = [
        probe_at(1, 1.0),
        NodeLook(1.5, "n0", "leader", term=1),
        Fault(2.0, 9, "kill-leader", "begin", ["n0"], "n0 is killed"),
        probe_at(2, 6.0),
    ]
    return [first, *middle, *probes, last]


@pytest.mark.parametrize("how", [{}, {"sort_keys": True}, {"separators": (",", ":")}])
def test_spaces_and_the_order_of_fields_make_no_difference(how: dict[str, Any], tmp_path: Path) -> None:
    ours = write_history(tmp_path, probed_history())
    theirs = written_anew(ours, tmp_path / "theirs.ndjson", **how)
    assert (5.0, 4.1) == (figures_of(ours).longest_gap_s, figures_of(ours).failovers_s[-1])
    assert figures_of(ours) == figures_of(theirs)
    verdict = judge(theirs)
    assert judge(ours).verdict == verdict.verdict
    assert gather(ours, verdict.seconds) == gather(theirs, verdict.seconds)


def test_check_tells_machines_of_a_history_that_another_program_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = written_anew(write_history(tmp_path, with_a_lost_vote(random_history())), tmp_path / "theirs.ndjson")
    report = tmp_path / "report.html"
    assert 1 == main(["check", str(theirs), "--json", "--report", str(report)])
    assert "violated" == json.loads(capsys.readouterr().out)["verdict"]
    assert "first-violation" in report.read_text()


def changed(line: dict[str, Any], change: Callable[[Any], Any], names: tuple[str, ...]) -> dict[str, Any]:
    return line | {name: change(line[name]) for name in names if line.get(name) is not None}


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 10**30])
@pytest.mark.parametrize("name", ["version", "applied", "epoch", "total", "queue_bytes", "number", "term"])
def test_a_number_that_nobody_can_count_to_is_refused_with_its_line(
    name: str, number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.loads(line) for line in write_history(tmp_path, random_history()).read_text().splitlines()]
    wrong = next(place for place, line in enumerate(lines) if name in line)
    lines[wrong][name] = number
    theirs = tmp_path / "theirs.ndjson"
    theirs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert 2 == main(["check", str(theirs)])
    assert f"line {wrong + 1} is no record of a history" in capsys.readouterr().err


def check_changed(folder: Path, change: Callable[[dict[str, Any]], object], record: str) -> int:
    """Change the first line of that kind, and check."""
    lines = [json.loads(line) for line in write_history(folder, random_history()).read_text().splitlines()]
    change(next(line for line in lines if line["record"] == record))
    theirs = folder / "theirs.ndjson"
    theirs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return main(["check", str(theirs)])


@pytest.mark.parametrize("weight", [0, -1])
def test_a_weight_that_no_vote_has_is_refused(weight: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == check_changed(
        tmp_path, lambda plan: plan.update(options=dict.fromkeys(plan["options"], weight)), "poll"
    )
    assert "is no record of a history" in capsys.readouterr().err


@pytest.mark.parametrize("place", [-1, 5])
def test_an_answer_that_refuses_a_vote_which_nobody_sent_is_a_violation(
    place: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(cast: dict[str, Any]) -> None:
        votes = cast["votes"][:1]
        cast.update(votes=votes, applied=0, duplicates=0, rejected=[[place, "closed"]], outcome="ok", version=1)

    assert 1 == check_changed(tmp_path, refuse, "cast")
    assert f"refuses vote {place} of request" in capsys.readouterr().out


def test_a_request_that_has_two_meanings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in write_history(tmp_path, random_history()).read_text().splitlines()]
    again = next(line for line in lines if line["record"] == "cast" and line.get("way") != "session")
    lines.insert(-1, again | {"number": 9_999, "votes": [*again["votes"], ["a", "another", "p"]]})
    theirs = tmp_path / "theirs.ndjson"
    theirs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert 2 == main(["check", str(theirs)])
    assert "was sent again with other votes" in capsys.readouterr().err


@pytest.mark.parametrize("factor", [1e-9, -1.0, 0.0, 1e9])
def test_whatever_the_times_are_there_is_a_page(factor: float, tmp_path: Path) -> None:
    ours = write_history(tmp_path, with_a_lost_vote(random_history()))
    lines = [changed(json.loads(line), lambda at: at * factor, TIMES) for line in ours.read_text().splitlines()]
    theirs = tmp_path / "theirs.ndjson"
    theirs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert 1 == main(["check", str(theirs), "--report", str(tmp_path / "report.html")])
    text = (tmp_path / "report.html").read_text()
    assert not [word for word in (">nan", ">inf", '"nan', '"inf', " nan", " inf ") if word in text]


def test_times_that_no_clock_has_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = write_history(tmp_path, random_history())
    lines = [changed(json.loads(line), lambda at: 1.7e308, TIMES) for line in ours.read_text().splitlines()]
    theirs = tmp_path / "theirs.ndjson"
    theirs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert 2 == main(["check", str(theirs)])
    assert "is no record of a history" in capsys.readouterr().err


def two_in_one(lines: list[bytes]) -> list[bytes]:
    return [*lines, *lines]


def an_end_amidst(lines: list[bytes]) -> list[bytes]:
    return [*lines[:9], lines[-1], *lines[9:]]


def a_header_amidst(lines: list[bytes]) -> list[bytes]:
    return [*lines[:9], lines[0], *lines[9:]]


def packed(lines: list[bytes]) -> list[bytes]:
    return [gzip.compress(b"".join(lines))]


def a_line_too_long(lines: list[bytes]) -> list[bytes]:
    words = "x" * LINE_BYTES_MAX
    return [*lines[:9], b'{"record":"reached","at":1,"name":"much","words":"%b"}\n' % words.encode(), *lines[9:]]


def another_weight(lines: list[bytes]) -> list[bytes]:
    votes = next(line for line in lines if line.startswith(b'{"record":"cast"') and b'["a","id' in line)
    cast = json.loads(votes)
    heavier = {**cast, "votes": [[*(vote + [None] * 2)[:3], 9] for vote in cast["votes"]]}
    return [json.dumps(heavier).encode() + b"\n" if line is votes else line for line in lines]


def a_shared_id(lines: list[bytes]) -> list[bytes]:
    """A second request has the id of the first one, and is told that it was counted before."""
    cast = next(each for each in map(json.loads, lines) if each["record"] == "cast" and each["votes"][0][1])
    asked = {**cast, "request": "another", "outcome": "unknown", "applied": 0, "duplicates": 0, "rejected": []}
    return [*lines[:-1], json.dumps({**asked, "version": None}).encode() + b"\n", lines[-1]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (two_in_one, "follows its end. Are there two in one file?"),
        (an_end_amidst, "line 11 follows its end"),
        (a_header_amidst, "its first line, and no other"),
        (packed, "unpack it with gunzip"),
        (a_line_too_long, "line 10 is no record of a history: it is longer than 64 MiB"),
        (another_weight, "have different weights"),
        (a_shared_id, "is in two requests"),
    ],
)
def test_what_is_no_history_of_one_run_is_refused(
    change: Callable[[list[bytes]], list[bytes]],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = write_history(tmp_path, random_history()).read_bytes().splitlines(keepends=True)
    theirs = tmp_path / "theirs.ndjson"
    theirs.write_bytes(b"".join(change(lines)))
    assert 2 == main(["check", str(theirs)])
    assert words in capsys.readouterr().err


def test_a_last_line_is_whole_also_without_a_line_break(tmp_path: Path) -> None:
    ours = write_history(tmp_path, random_history())
    theirs = tmp_path / "theirs.ndjson"
    theirs.write_bytes(ours.read_bytes().rstrip(b"\n"))
    verdict = judge(theirs)
    assert judge(ours) == verdict
    assert gather(ours, verdict.seconds) == gather(theirs, verdict.seconds)


def test_an_answer_that_tells_new_votes_from_known_ones_and_does_not_is_refused(tmp_path: Path) -> None:
    cast = probe_at(1, 1.0)
    cast.counted = 1
    with pytest.raises(Invalid, match="request probe-1 has `counted` beside `applied`"):
        judge(write_history(tmp_path, [*random_history()[:-1], cast]))
