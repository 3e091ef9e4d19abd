"""`quorate log` on the folder of a real node: shown and verified when it is stopped, refused while it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quorate.cli import main
from quorate.cluster.raft.storage.stopped_log import read_stopped
from quorate.vote import Vote
from tests.support.cluster import Cluster


def test_a_stopped_node_is_read_and_a_running_one_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Cluster(tmp_path, size=1) as cluster, cluster.client() as client:
        [node] = cluster.nodes
        verify = ["log", "verify", "--data", str(node.folder)]
        client.create_poll("mood", ["happy", "sad"])
        client.cast([Vote("happy", "v1"), Vote("happy", "v2"), Vote("sad", "v3", "mood")])
        assert 1 == main(verify)
        assert "is in use by process" in capsys.readouterr().err
        running = shown_by_the_node(cluster.urls[0], capsys)
        assert 0 == node.stop()
        before = {path.name: path.read_bytes() for path in node.folder.iterdir() if path.is_file()}
        assert 0 == main(verify)
        assert "the chain holds" in capsys.readouterr().out
        assert 0 == main(["log", "show", "--data", str(node.folder), "--json"])
        shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert running == shown[: len(running)], "a running node says the same"
        commands = [c for each in shown for batch in each.get("batches", []) for c in batch]
        assert {"FormCluster", "CreatePoll", "CastVotes"} <= {each["command"] for each in commands}
        assert all("hash_key" not in each for each in commands), "ids are hashes of it"
        [cast] = [each for each in commands if each["command"] == "CastVotes"]
        assert [("happy", None, 2), ("sad", "mood", 1)] == [
            (each["option"], each["poll"], each["votes"]) for each in cast["choices"]
        ]
        assert 0 == main(["log", "show", "--data", str(node.folder), "--from", str(shown[-1]["index"])])
        assert 1 == len(capsys.readouterr().out.splitlines())
        assert 0 == main(["log", "show", "--data", str(node.folder), "--from", "1000", "--to", "1200"])
        assert ("", "There is no entry from 1,000 to 1,200.") == nothing_shown(capsys)
        assert before == {path.name: path.read_bytes() for path in node.folder.iterdir() if path.is_file()}
        torn_and_damaged(node.folder, verify, capsys)


def nothing_shown(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    told = capsys.readouterr()
    return told.out, told.err.partition(" Without")[0]


def shown_by_the_node(url: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert 0 == main(["log", "show", "--node", url, "--json"])
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"CreatePoll", "CastVotes"} <= {
        command["command"] for each in shown for batch in each.get("batches", []) for command in batch
    }
    first, last = shown[0]["index"], shown[-1]["index"]
    assert list(range(first, last + 1)) == [each["index"] for each in shown]
    assert 0 == main(["log", "show", "--node", url, "--from", str(last - 1), "--to", str(last)])
    assert [str(last - 1), str(last)] == [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert 0 == main(["log", "show", "--node", url, "--from", "1", "--to", str(first), "--json"])
    assert shown[0] == json.loads(capsys.readouterr().out)
    return shown


def test_a_folder_or_a_node_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["log", "show", "--data", str(tmp_path), "--node", "http://127.0.0.1:8001"])
    assert "give one of them" in capsys.readouterr().err


def torn_and_damaged(folder: Path, verify: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    segment = read_stopped(folder).log.segments[-1]
    [path] = folder.glob("log-*.seg")
    data = bytearray(path.read_bytes())
    data[segment.size : segment.size + 4] = b"torn"
    path.write_bytes(data)
    assert 0 == main(verify)
    assert "torn by a crash" in capsys.readouterr().out
    data[segment.size // 2] ^= 1
    path.write_bytes(data)
    assert 1 == main(verify)
    told = " ".join(capsys.readouterr().err.split())
    assert "log is damaged" in told
    assert "quorate members replace n1" in told  # a command that can be typed as it stands
