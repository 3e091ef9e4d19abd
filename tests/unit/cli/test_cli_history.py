"""`quorate history`, on a real node that is killed and comes back, and on a terminal."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from quorate.cli import main
from quorate.vote import Vote
from tests.support.cluster import Cluster
from tests.support.waiting import let_pass, wait_for

ODD = "=1+1\x1b[31m"


def told_by(cluster: Cluster, capsysbinary: pytest.CaptureFixture[bytes]) -> Any:
    assert 0 == main(["history", "mood", "--from", "60s", "--step", "1s", "--json", "--node", cluster.urls[0]])
    return json.loads(capsysbinary.readouterr().out)


def test_a_node_that_was_killed_has_a_gap_and_what_it_had_before(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    with Cluster(tmp_path, size=1) as cluster, cluster.client() as client:
        client.create_poll("mood", ["=1+1", "sad"])
        client.vote(Vote("sad", "v1"))

        def steps() -> list[int | None]:
            totals: list[int | None] = told_by(cluster, capsysbinary)["totals"]
            return totals

        wait_for("some seconds with the vote", lambda: steps().count(1) >= 2)
        [node] = cluster.nodes
        node.kill()
        let_pass(2.1, because="a second begins and ends in which the node is down")
        node.start()
        cluster.wait_ready()
        client.vote(Vote("sad", "v2"))
        wait_for("a second with both votes", lambda: 2 in steps())
        totals = steps()
        known = [place for place, total in enumerate(totals) if total is not None]
        between = totals[known[0] : known[-1] + 1]
        assert {1, 2, None} <= set(between), f"what was recorded before it was killed, and a gap: {totals}"
        assert sorted(total for total in between if total is not None) == [t for t in between if t is not None]
        assert 0 == main(["history", "mood", "--csv", "--node", cluster.urls[0]])
        heading, *rows = csv.reader(capsysbinary.readouterr().out.decode().splitlines())
        assert ["time", "votes", "sad", "'=1+1"] == heading
        assert 361 == len(rows)
        assert 0 == main(["history", "mood", "--node", cluster.urls[0]])
        assert [b"TIME", b"VOTES", b"A", b"MINUTE"] == capsysbinary.readouterr().out.splitlines()[0].split()
        assert 2 == main(["history", "mood", "--json", "--csv", "--node", cluster.urls[0]])
        assert 1 == main(["history", "none", "--node", cluster.urls[0]])
        assert {"recording": True, "problem": ""}.items() <= node.get("/status")["history"].items()


class Told:
    """A client that says what the test says."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def history(self, *_: str, **__: str | None) -> dict[str, Any]:
        return self._told


def test_on_a_terminal_it_is_lines_with_gaps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {
        "id": "mood",
        "node": "n2",
        "from": "2030-01-01T00:00:00Z",
        "to": "2030-01-01T00:01:00Z",
        "step_s": 10,
        "totals": [0, 7, None, None, 14, 14, 28],
        "options": {ODD: [0, 7, None, None, 7, 7, 21], "日本": [0, 0, None, None, 7, 7, 7]},
    }
    monkeypatch.setattr("quorate.cli.history.client_of", lambda *_: Told(told))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert 0 == main(["history", "mood"])
    lines = capsys.readouterr().out.splitlines()
    assert "mood, from 2030-01-01T00:00:00Z to 2030-01-01T00:01:00Z, as n2 recorded it (·: not known)" == lines[0]
    assert ["votes a minute  ·▅···▁█  at most 84", "all votes       ▁▃··▅▅█  28"] == lines[1:3]
    assert "\x1b" not in lines[3]
    assert lines[3].endswith("▁▃··▃▃█  21")
    assert "日本            ▁▁··███  7" == lines[4], "wide characters take two columns"
    assert "28 votes more than at the beginning of what is known" == lines[5]
    assert 0 == main(["history", "mood", "--table"])
    rows = [line.split()[1:] for line in capsys.readouterr().out.splitlines()[1:]]
    assert [["0", "-"], ["7", "42"], ["-", "-"], ["14", "-"], ["14", "0"], ["28", "84"]] == rows, "a gap has one row"
    told |= {"totals": [None] * 7, "options": {}}
    assert 0 == main(["history", "mood"])
    assert "n2 has recorded nothing of that time" == capsys.readouterr().out.splitlines()[-1]
