"""What `quorate doctor` makes of the answers of nodes."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from quorate.doctor.bundle import LOG_END_BYTES, write_bundle
from quorate.doctor.finding import Finding, is_bad
from quorate.doctor.nodes import NodeAnswers, ask_all, look_at_nodes
from quorate.web.fetch import FetchFailed

A, B = "http://a:1", "http://b:1"


class Answering:
    """Two nodes, a and b, and what each says under a path. None: it does not answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says = {url: self._said(name) for url, name in ((A, "a"), (B, "b"))}

    def _said(self, name: str) -> dict[str, Any]:
        raft = {
            "role": "follower",
            "leader": "a",
            "term": 3,
            "feature_levels": {"a": 1, "b": 1},
            "links": {"b": {"open": True, "address": "b:9"}},
            "clock_offsets_ms": {"b": 20},
            "lag_entries": 0,
            "leader_changes": 1,
        }
        return {
            "/status": {
                "node": name,
                "uptime_s": 60,
                "raft": raft,
                "state": {"cluster_id": "c"},
                "sinks": {"s": {"phase": "flushing"}},
            },
            "/nodes": {"nodes": [{"id": "a", "http": A}, {"id": "b", "http": B}, {"id": "c", "http": ""}]},
            "/readyz?verbose&sync": "[+] leader a: term 3\n",
            "/metrics": "quorate_up 1\n",
        }

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        base, slash, path = url[:10], "/", url[11:]
        answer = self.says[base].get(slash + path)
        if answer is None:
            raise FetchFailed("it cannot be reached")
        if isinstance(answer, FetchFailed):
            raise answer
        return answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()

    def raft(self) -> Any:
        return self.says[A]["/status"]["raft"]


def found(answering: Answering) -> list[Finding]:
    return list(look_at_nodes(ask_all([A], answering)))


def test_a_good_cluster_is_good_and_each_node_is_asked_once() -> None:
    answering = Answering()
    assert {"good"} == {each.health for each in found(answering)}
    assert len(answering.asked) == len(set(answering.asked)) == 8


@pytest.mark.parametrize(
    ("change", "health", "words"),
    [
        (lambda raft: raft.update(leader=None), "warning", ""),
        (lambda raft: raft.update(leader="b"), "warning", "it changes just now"),
        (
            lambda raft: raft["links"]["b"].update(open=False, refused="another key"),
            "bad",
            "not connected to b another key",
        ),
        (lambda raft: raft["clock_offsets_ms"].update(b=-900), "warning", "the clock of b is 900 ms behind"),
        (lambda raft: raft.update(lag_entries=20_000), "warning", "lags 20,000 entries"),
        (lambda raft: raft.update(leader_changes=30), "warning", "leader change 30 times"),
        (lambda raft: raft["feature_levels"].update(b=0), "warning", "feature levels differ (a: 1, b: 0)"),
    ],
)
def test_what_is_wrong_is_told(change: Any, health: str, words: str) -> None:
    answering = Answering()
    change(answering.raft())
    if not words:  # nobody knows a leader
        answering.says[B]["/status"]["raft"]["leader"] = None
        health, words = "bad", "no node knows one"
    answering.says[B]["/status"]["raft"]["feature_levels"] = {}
    assert [health] == [each.health for each in found(answering) if words in each.words]


def test_a_node_that_is_not_ready_says_why() -> None:
    answering = Answering()
    answering.says[B]["/readyz?verbose&sync"] = FetchFailed("503", 503, b"[-] disk full: no room\n[+] peers 2 of 2\n")
    assert [("b", "disk full: no room")] == [
        (each.what, each.words) for each in found(answering) if each.health == "bad"
    ]


@pytest.mark.parametrize("phase", ["retrying", "foreign", "outranked"])
def test_a_sink_that_is_not_written_is_told(phase: str) -> None:
    answering = Answering()
    answering.says[A]["/status"]["sinks"]["s"] = {"phase": phase, "last_error": "it is gone"}
    assert [f"the sink s is {phase}: it is gone"] == [each.words for each in found(answering) if is_bad([each])]


def test_nodes_of_several_clusters_are_told() -> None:
    answering = Answering()
    answering.says[B]["/status"]["state"]["cluster_id"] = "another"
    assert ["cluster"] == [each.what for each in found(answering) if is_bad([each])]


@pytest.mark.parametrize("said", ["<html>", {}, [], {"raft": "hidden"}, {"other": 5}])
def test_what_is_no_answer_of_a_node_is_told(said: Any) -> None:
    answering = Answering()
    answering.says[B]["/status"] = said
    findings = found(answering)
    assert {B} == {each.what for each in findings if is_bad([each])}
    assert "a" in {each.what for each in findings}


def test_what_a_token_is_not_shown_is_passed_over() -> None:
    answering = Answering()
    answering.says[B]["/status"] = {"raft": {"term": 3, "links": 5, "clock_offsets_ms": {"b": "x"}, "lag_entries": "x"}}
    assert [] == [each for each in found(answering) if is_bad([each]) and each.what != "cluster"]


def test_a_node_that_does_not_answer_is_told_and_the_others_are_looked_at() -> None:
    answering = Answering()
    answering.says[B] = {}
    findings = found(answering)
    assert [B] == [each.what for each in findings if is_bad([each])]
    assert "a" in {each.what for each in findings}


def test_a_bundle_has_all_of_it_for_its_owner_alone(tmp_path: Path) -> None:
    log, file = tmp_path / "node.log", tmp_path / "b.tgz"
    log.write_bytes(b"x" * (LOG_END_BYTES + 5) + b"the end")
    answers = ask_all([A], Answering())
    write_bundle(file, [Finding("it", "bad", "is broken")], answers, {"raft": {"key": "***"}}, log)
    assert 0o600 == file.stat().st_mode & 0o777
    with tarfile.open(file) as tar:
        held = {name.partition("/")[2]: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    assert {
        f"nodes/{n}/{name}" for n in (1, 2) for name in ("status.json", "nodes.json", "readyz.txt", "metrics.txt")
    } < set(held)
    assert (LOG_END_BYTES, True) == (len(held["node.log"]), held["node.log"].endswith(b"the end"))
    assert "is broken" == json.loads(held["findings.json"])["findings"][0]["words"]
    with pytest.raises(FileExistsError):
        write_bundle(file, [], [], {}, None)


def test_a_bundle_that_cannot_be_whole_is_not_left(tmp_path: Path) -> None:
    broken = NodeAnswers(A, status={"a": object()})
    with pytest.raises(TypeError):
        write_bundle(tmp_path / "b.tgz", [], [broken], {}, None)
    assert [] == list(tmp_path.iterdir())
