"""The figures of a run, from its history."""

from __future__ import annotations

from pathlib import Path

from quorate.chaos.figures import figures_of
from quorate.chaos.history import Cast, Fault, Header, HistoryFile, NodeLook, SentVote


def probe(number: int, begun: float, ended: float, applied: int = 1) -> Cast:
    return Cast(
        number=number,
        client="probe",
        node="n1",
        begun=begun,
        ended=ended,
        outcome="ok" if applied else "fail",
        request=f"r{number}",
        votes=[SentVote("a", f"r{number}", "p", 1)],
        applied=applied,
    )


def test_gaps_and_failovers_are_those_of_the_probe(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "history.ndjson")
    history.write(Header(1, "test", 0, 0, {"n1": "", "n2": ""}, 1000))
    history.write(NodeLook(0.0, "n1", "leader", term=1))
    for n in range(10):
        history.write(probe(n, n / 10, n / 10 + 0.01))
    history.write(Fault(1.0, 1, "kill-leader", "begin", ["n1"], "n1 is killed"))
    history.write(probe(10, 1.05, 1.06, applied=0))
    history.write(Fault(1.5, 1, "kill-leader", "end", ["n1"], "n1 is killed"))
    history.write(probe(11, 1.1, 2.5))
    history.write(probe(12, 1.8, 1.9))
    history.write(NodeLook(2.0, "n2", "leader", term=2))
    history.write(Fault(2.6, 2, "kill-follower", "begin", ["n1"], "n1 is killed"))
    history.close()
    figures = figures_of(tmp_path / "history.ndjson")
    assert 12 == figures.probe_votes
    assert (0.99, 0.91) == (round(figures.longest_gap_s, 3), figures.longest_gap_at)
    assert [0.9] == figures.failovers_s
    assert 0.9 == figures.failover_p50_s == figures.failover_p99_s
    assert {"kill-follower": 1, "kill-leader": 1} == figures.faults
    assert 2 == figures.leaders


def test_a_history_without_votes_has_no_figures(tmp_path: Path) -> None:
    HistoryFile(tmp_path / "history.ndjson").close()
    figures = figures_of(tmp_path / "history.ndjson")
    assert (0, 0.0, None) == (figures.probe_votes, figures.longest_gap_s, figures.failover_p50_s)
