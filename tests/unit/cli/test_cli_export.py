"""`quorate export` and `quorate watch`, on a real node that dies and comes back."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.cli import main
from quorate.vote import Vote
from tests.support.cluster import Cluster

ODD = ["=1+1", "+2", "-3", "@SUM(A1)", 'quote", and comma', "line", "ü"]


def test_results_are_written_and_watched(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with Cluster(tmp_path, size=1) as cluster, cluster.client() as client:
        client.create_poll("mood", ODD)
        client.create_poll("other", ["a", "b"])
        client.vote(Vote("=1+1", "v1"))
        exporting(cluster, tmp_path, capsysbinary)
        watching(cluster)


def exporting(cluster: Cluster, folder: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    node = ["--node", cluster.urls[0]]
    assert 0 == main(["export", "mood", *node])
    heading, *rows = csv.reader(capsysbinary.readouterr().out.decode().splitlines())
    assert ["poll", "option", "votes", "version"] == heading
    assert ["'=1+1", "'+2", "'-3", "'@SUM(A1)", *ODD[4:]] == [row[1] for row in rows], "no formula in a spreadsheet"
    assert ["1", "0", "0", "0", "0", "0", "0"] == [row[2] for row in rows]
    file = folder / "mood.csv"
    file.write_text("old")
    assert 0 == main(["export", "mood", str(file), "--raw", *node])
    with file.open(newline="", encoding="utf-8") as stream:
        assert ODD == [row[1] for row in csv.reader(stream)][1:]
    assert [] == list(folder.glob("*.part"))
    assert 0 == main(["export", "mood", "-", "--json", *node])
    found = json.loads(capsysbinary.readouterr().out)
    assert ("mood", 1, dict.fromkeys(ODD, 0) | {"=1+1": 1}) == (found["id"], found["total"], found["results"])
    assert 2 == main(["export", "mood", "--json", "--csv", *node])
    assert 1 == main(["export", "none", str(file), *node])
    assert file.read_text(encoding="utf-8").startswith("poll,option"), "a failure leaves the file as it was"


def watching(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "quorate", "watch", "--json", "--interval", "0.1", "--node", cluster.urls[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch, cluster.client() as client:
        assert watch.stdout is not None
        try:
            seen = [json.loads(watch.stdout.readline()) for _ in range(2)]
            assert {"mood": 1, "other": 0} == {each["id"]: each["total"] for each in seen}
            [node] = cluster.nodes
            node.kill()
            node.start()
            cluster.wait_ready()
            client.vote(Vote("b", "v2"))
            after = json.loads(watch.stdout.readline())
            assert ("other", {"a": 0, "b": 1}) == (after["id"], after["results"])
        finally:
            watch.kill()
