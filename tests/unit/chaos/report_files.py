"""Histories for the page of a run, and the page itself as a tree."""

from __future__ import annotations

from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import msgspec

from quorate.chaos.figures import figures_of
from quorate.chaos.history import Cast, Fault, Header, HistoryFile, NodeLook, Reached, Record
from quorate.chaos.report.gathering import gather
from quorate.chaos.report.page import page
from quorate.chaos.report.story import RunStory
from quorate.chaos.verdict import Verdict, judge
from tests.unit.chaos.random_run import Mix, RandomRun

VOID = frozenset(("meta", "br", "path", "rect"))  # some of which close themselves
RANDOM_MIX = Mix(lost=0.1)


class Element(NamedTuple):
    tag: str
    attributes: dict[str, str | None]


class PageTree(HTMLParser):
    """Fails on a page whose elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert [] == self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self._open.pop(), f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def of(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]


def random_history(seed: int = 3) -> list[Record]:
    """A right history with all that a run sees: the nodes, faults, a sink, and situations."""
    records = RandomRun(seed, operations=150, mix=RANDOM_MIX).records
    header, middle, end = records[0], records[1:-1], records[-1]
    assert isinstance(header, Header)
    header.faults, header.asked_to_reach, header.duration_s = ["kill-leader", "delay"], ["duplicate-answer"], 30.0
    header.command = "quorate chaos --nodes 3"
    seen: list[Record] = [
        NodeLook(1.0, "n0", "leader", term=1, version=5, queue_bytes=4096, sinks={"sqlite": 3}),
        NodeLook(1.1, "n1", "follower", term=1, version=4, cut_off=True),
        NodeLook(1.2, "n2", "follower", term=1, version=4, harmed=True),
        Fault(2.0, 1, "kill-leader", "begin", ["n0"], "n0 is killed"),
        Fault(4.0, 1, "kill-leader", "end", ["n0"], "n0 is killed"),
        NodeLook(4.5, "n0", "follower", term=2, version=9),
        NodeLook(4.6, "n1", "leader", term=2, version=9, sinks={"sqlite": 1}),
        Fault(5.0, 2, "delay", "begin", ["n1", "n2"], "links are slow"),
        Reached(5.5, "leader-killed-with-votes-in-flight", "n0"),
    ]
    return [header, *middle, *seen, end]


def with_a_lost_vote(records: list[Record]) -> list[Record]:
    """The last acknowledged vote with an id is left out of all that is read afterwards."""
    for record in reversed(records):
        if isinstance(record, Cast) and record.outcome == "ok" and record.applied == 1 and record.votes[0].poll:
            vote = msgspec.structs.replace(record.votes[0], id=f"{record.votes[0].id}-another")
            lost = msgspec.structs.replace(record, number=10**6, request="lost", votes=[vote])
            return [*records[:-1], lost, records[-1]]
    raise AssertionError("no vote was acknowledged")


def later(records: list[Record], by_s: float) -> list[Record]:
    """The same, when the run has gone on for a while: its moments have longer names."""
    moved = []
    for record in records:
        times = {name: getattr(record, name, None) for name in ("at", "until", "begun", "ended")}
        changes = {name: at + by_s for name, at in times.items() if at is not None}
        moved.append(msgspec.structs.replace(record, **changes))
    return moved


def write_history(folder: Path, records: Iterable[Record]) -> Path:
    path = folder / "history.ndjson"
    file = HistoryFile(path)
    for record in records:
        file.write(record)
    file.close()
    return path


def drawn(folder: Path, records: Iterable[Record]) -> tuple[str, Verdict, RunStory]:
    path = write_history(folder, records)
    verdict = judge(path)
    story = gather(path, verdict.seconds)
    return page(path, verdict, figures_of(path), story), verdict, story
