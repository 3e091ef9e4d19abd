"""The page of a run: what it shows, that it needs nothing else, and that it stays small."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.chaos.history import Cast, End, Fault, Header, NodeLook, PollPlan, Read, Record, SentVote, SinkLook
from quorate.chaos.report.gathering import bucket_width
from quorate.chaos.report.page import STYLE
from quorate.chaos.report.story import BUCKETS_MAX, FAULTS_MAX, NODES_MAX, SPANS_MAX
from quorate.cli import main
from tests.unit.chaos.report_files import PageTree, drawn, random_history, with_a_lost_vote, write_history

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\x1b[31m"
PAGE_BYTES_MAX = 2 * 1024 * 1024


def test_a_clean_run_has_every_section(tmp_path: Path) -> None:
    text, verdict, _ = drawn(tmp_path, random_history())
    assert "clean" == verdict.verdict, verdict.reasons
    tree = PageTree(text)
    headings = re.findall(r"<(?:h1|h2[^>]*|figcaption)>([^<]*)<", text)
    assert [
        "Clean",
        "Over time",
        "Throughput",
        "Latency, by the moment of sending",
        "Nodes",
        "Queues and sinks, on logarithmic scales",
        "Faults: 2 faults of 2 kinds",
        "By kind of fault",
        "Reached",
        "Checked",
        "Check it again",
    ] == headings
    for words in ("quorate chaos --nodes 3", "Seed", "3 nodes: n0, n1, n2", "longest gap", "n0 is killed", "1 of 1"):
        assert words in tree.text
    assert "first-violation" not in text


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    for text in (drawn(tmp_path, records)[0] for records in (random_history(), with_a_lost_vote(random_history()))):
        tree = PageTree(text)
        assert not {"script", "link", "img", "iframe", "image", "use", "object"} & {each.tag for each in tree.elements}
        for element in tree.elements:
            assert not [name for name in element.attributes if name.startswith("on") or name in ("src", "srcset")]
            assert (element.attributes.get("href") or "#").startswith("#")
    style = STYLE.read_text()
    assert "@import" not in style
    assert ["url(#hatch)"] == re.findall(r"url\([^)]*\)", style)


def test_each_picture_has_a_name_and_a_text(tmp_path: Path) -> None:
    text, _, _ = drawn(tmp_path, random_history())
    pictures = re.findall(r"<svg role=\"img\"[^>]*><title>([^<]+)</title><desc id=[^>]+>([^<]+)</desc>", text)
    assert text.count("<svg ") - 1 == len(pictures)  # all but the one of the hatches, which is hidden
    assert len(pictures) == len(set(re.findall('aria-describedby="(.*?)"', text)) & set(re.findall('id="(.*?)"', text)))
    assert "Node n0" in dict(pictures)
    assert "is down for 2.00\u00a0s" in dict(pictures)["Node n0"]


def test_a_violation_is_shown_with_its_operations_and_its_moment(tmp_path: Path) -> None:
    text, verdict, _ = drawn(tmp_path, with_a_lost_vote(random_history()))
    assert "violated" == verdict.verdict
    tree = PageTree(text)
    assert ["#first-violation"] == [each.attributes["href"] for each in tree.of("a")]
    assert 'class="violation" id="first-violation"' in text
    assert "The moment" in text
    first = text[text.index('id="first-violation"') :]
    assert len(verdict.violations[0].operations) == first[: first.index("</table>")].count('<th scope="row">')
    assert verdict.violations[0].words in tree.text
    assert 'class="mark"' in text


def test_names_that_others_gave_are_text_and_nothing_else(tmp_path: Path) -> None:
    vote = SentVote(HOSTILE, HOSTILE, HOSTILE)
    common = {"client": HOSTILE, "node": HOSTILE, "begun": 1.0, "ended": 2.0, "outcome": "ok", "version": 7}
    seen = {"poll": HOSTILE, "results": {HOSTILE: 0}, "total": 0, "level": "weak", "state": HOSTILE}
    records: list[Record] = [
        Header(1, HOSTILE, 1, 0, {HOSTILE: HOSTILE}, 9, [HOSTILE], [HOSTILE], command=HOSTILE),
        PollPlan(HOSTILE, {HOSTILE: 1}, 0.0),
        NodeLook(1.0, HOSTILE, "leader", queue_bytes=1, sinks={HOSTILE: 1}),
        SinkLook(1.0, HOSTILE, HOSTILE, "1", 8, {HOSTILE: 0}),
        Fault(1.0, 1, HOSTILE, "begin", [HOSTILE], HOSTILE),
        Cast(number=1, request=HOSTILE, votes=[vote], applied=1, **common),  # type: ignore[arg-type]
        Read(number=2, **(common | {"begun": 3.0, "ended": 4.0, "version": 8}), **seen),  # type: ignore[arg-type]
        End(5.0, 2, False, HOSTILE),
    ]
    text, verdict, _ = drawn(tmp_path, records)
    assert "violated" == verdict.verdict
    tree = PageTree(text)
    assert not {"script", "img"} & {each.tag for each in tree.elements}
    assert not [name for each in tree.elements for name in each.attributes if name.startswith("on")]
    assert 10 < text.count("&lt;script&gt;")
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)


# ---- figures --------------------------------------------------------------------------------------------------------


def vote_at(number: int, begun: float, ended: float | None, outcome: str = "ok") -> Cast:
    votes = [SentVote("a", f"i{number}", "p")]
    applied = int(outcome == "ok")
    given = {"begun": begun, "ended": ended, "outcome": outcome, "applied": applied, "version": number}
    return Cast(number=number, client="c", node="n1", request=f"r{number}", votes=votes, **given)  # type: ignore[arg-type]


def test_operations_belong_to_each_fault_that_was_active_while_they_were_under_way(tmp_path: Path) -> None:
    records: list[Record] = [
        Header(1, "t", 1, 0, {"n1": ""}, 9, ["kill-one", "delay"]),
        vote_at(1, 0.5, 0.9),
        vote_at(2, 0.8, 1.5),  # into the first fault; written before its line
        Fault(1.0, 1, "kill-one", "begin", ["n1"], ""),
        vote_at(3, 1.2, 1.3, "fail"),
        vote_at(4, 0.9, 4.5, "unknown"),  # over both
        Fault(2.0, 1, "kill-one", "end", ["n1"], ""),
        Fault(3.0, 2, "delay", "begin", ["n1"], ""),
        vote_at(5, 2.1, 2.9),
        vote_at(6, 3.5, None, "unknown"),
        End(6.0, 6, True),
    ]
    _, _, story = drawn(tmp_path, records)
    figures = {kind.name: (kind.operations, kind.acknowledged, kind.unknown, kind.refused) for kind in story.by_fault}
    assert {"kill-one": (3, 1, 1, 1), "delay": (2, 0, 2, 0)} == figures
    assert (2, 2, 0, 0) == (story.quiet.operations, story.quiet.acknowledged, story.quiet.unknown, story.quiet.refused)
    assert (6, 3, 2) == tuple(
        map(sum, (story.timeline.operations, story.timeline.acknowledged, story.timeline.unknown))
    )
    assert [2.0, None] == [fault.ended for fault in story.faults]


def test_what_a_queue_does_not_tell_is_no_unknown_outcome(tmp_path: Path) -> None:
    published = vote_at(1, 1.0, 1.1, "unknown")
    published.door = "nsq"
    fault = Fault(0.5, 1, "delay", "begin", ["n1"], "")
    _, _, story = drawn(tmp_path, [Header(1, "t", 1, 0, {}, 9), fault, published, vote_at(2, 1.0, None, "unknown")])
    (delay,) = story.by_fault
    assert (2, 0, 1) == (delay.operations, delay.acknowledged, delay.unknown)
    assert (2, 1) == (sum(story.timeline.operations), sum(story.timeline.unknown))


def test_latencies_are_told_apart_by_a_tenth_and_belong_to_the_moment_of_sending(tmp_path: Path) -> None:
    votes = [vote_at(n, 1.0, 1.02) for n in range(98)] + [vote_at(n, 1.0, 5.0) for n in range(98, 101)]
    _, _, story = drawn(tmp_path, [Header(1, "t", 1, 0, {}, 9), *votes, End(10.0, 101, True)])
    place = int(1.0 / story.timeline.bucket_s)
    p50, p99 = story.timeline.p50_ms[place], story.timeline.p99_ms[place]
    assert 18 < (p50 or 0) < 22
    assert 3600 < (p99 or 0) < 4400
    assert [None] * (len(story.timeline.p50_ms) - 1) == [each for each in story.timeline.p50_ms if each is None]


def test_a_lane_is_exact_where_a_fault_holds_a_node_and_otherwise_what_was_seen(tmp_path: Path) -> None:
    records: list[Record] = [
        Header(1, "t", 1, 0, {"n1": ""}, 9),
        NodeLook(0.5, "n1", "leader"),
        NodeLook(1.5, "n1", "leader"),
        Fault(2.0, 1, "pause-leader", "begin", ["n1"], ""),
        NodeLook(2.5, "n1", "paused"),
        Fault(3.0, 1, "pause-leader", "end", ["n1"], ""),
        NodeLook(4.0, "n1", "follower", harmed=True),
        End(6.0, 0, True),
    ]
    _, _, story = drawn(tmp_path, records)
    spans = [(span.begun, span.ended, span.state, span.harmed) for span in story.nodes["n1"]]
    assert [
        (0.5, 2.0, "leader", False),
        (2.0, 3.0, "paused", False),
        (3.0, 4.0, "starting", False),
        (4.0, 6.0, "follower", True),
    ] == spans


def test_a_sink_is_as_far_behind_as_the_leader_says_or_as_its_documents_show(tmp_path: Path) -> None:
    fence = "0000000001.000000000000000{}.00000000000000000007"
    records: list[Record] = [
        Header(1, "t", 1, 0, {"n1": ""}, 9),
        SinkLook(0.5, "sqlite", "p", fence.format(1), 10, {}),
        NodeLook(1.0, "n1", "leader", version=30, sinks={"mongo": 7}),
        SinkLook(2.0, "sqlite", "p", fence.format(2), 30, {}),
        NodeLook(3.0, "n1", "leader", version=31),
        End(4.0, 0, True),
    ]
    _, _, story = drawn(tmp_path, records)
    behind = {name: [value for value in sink.behind.values if value is not None] for name, sink in story.sinks.items()}
    assert {"sqlite": [20, 1], "mongo": [7]} == behind
    assert [2.0] == story.sinks["sqlite"].writers


# ---- size -----------------------------------------------------------------------------------------------------------


def huge() -> Iterator[Record]:
    """A day with many nodes and faults. Names are as long as they may be, and longer."""
    yield Header(1, "t", 1, 0, {f"n{n}": "" for n in range(500)}, 9, duration_s=86_400)
    for n in range(5_000):
        name, at = f"fault-{n % 300}-{'x' * 500}", n * 17.0
        yield Fault(at, n, name, "begin", [f"n{n % 50}"], "words " * 200)
        yield Fault(at + 9, n, name, "end", [f"n{n % 50}"], "words " * 200)
    for n in range(30_000):
        yield NodeLook(n * 2.8, f"n{n % 30}", "leader" if n // 30 % 2 else "paused", version=n, cut_off=n % 3 == 0)
    for n in range(20_000):
        yield vote_at(n, n * 4.3, n * 4.3 + 1, "unknown" if n % 5 == 0 else "ok")
    yield End(86_400.0, 20_000, True)


def test_a_huge_history_makes_a_page_of_bounded_size(tmp_path: Path) -> None:
    text, _, story = drawn(tmp_path, huge())
    assert len(text.encode()) < PAGE_BYTES_MAX
    PageTree(text)
    assert len(story.timeline.operations) <= BUCKETS_MAX
    assert (FAULTS_MAX, 5_000 - FAULTS_MAX) == (len(story.faults), story.faults_left_out)
    assert NODES_MAX == len(story.nodes)
    assert max(map(len, story.nodes.values())) <= SPANS_MAX


@pytest.mark.parametrize("span_s", [0.1, 29.9, 123, 600, 86_400, 1e9])
def test_buckets_are_few_however_long_a_run_is(span_s: float) -> None:
    assert span_s / bucket_width(span_s) <= BUCKETS_MAX


def test_an_empty_history_has_a_page_as_well(tmp_path: Path) -> None:
    text, verdict, _ = drawn(tmp_path, [Header(1, "t", 1, 0, {}, 9)])
    assert "inconclusive" == verdict.verdict
    assert "the history has no end" in PageTree(text).text


# ---- the commands ---------------------------------------------------------------------------------------------------


def test_check_draws_a_report_and_tells_machines_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history, report = write_history(tmp_path, random_history()), tmp_path / "report.html"
    assert 0 == main(["check", str(history), "--report", str(report)])
    assert f"report: {report}" in capsys.readouterr().out
    assert report.read_text().startswith("<!doctype html>")
    assert 0 == main(["check", str(history), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert {"run", "timeline", "faults", "by_fault", "quiet", "nodes", "waiting_bytes", "sinks"} < set(told["report"])
    assert {"kill-leader": 1, "delay": 1} == told["figures"]["faults"]


def test_a_report_that_cannot_be_written_takes_nothing_from_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = write_history(tmp_path, random_history())
    (tmp_path / "folder").mkdir()
    assert 0 == main(["check", str(history), "--report", "/dev/full"])
    told = capsys.readouterr()
    assert "the report was not written" in told.err
    assert "Clean" in told.out
    assert 2 == main(["check", str(history), "--report", str(tmp_path / "nowhere" / "report.html")])
    assert "there is no folder" in capsys.readouterr().err
