"""`quorate chaos`: what it refuses before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.chaos.nemeses.all import ALL, refused
from quorate.chaos.planted_bugs import planted_bugs
from quorate.errors import Invalid
from quorate.processes.ports import free_ports
from tests.unit.cli.told import Capture, Told


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--nodes", "4"], "'4' is not one of '3', '5', '7'"),
        (["--duration", "soon"], "give a time as 90s, 2m or 1h"),
        (["--duration", "0s"], "from 1s to 24h"),
        (["--duration", "25h"], "from 1s to 24h"),
        (["--faults", "kill-leader,lightning"], "no fault is called 'lightning'"),
        (["--faults", "partition-ring"], "these faults cannot work here: partition-ring: it needs"),
        (["--faults", ""], "it is empty; leave the flag out if it has no value"),
        (["--faults", " , "], "`none` stands for no fault"),
        (["--faults", "none,kill-leader"], "none stands alone"),
        (["--history", "/no/such/folder/history"], "there is no folder /no/such/folder"),
        (["--history", "/proc/history"], "/proc/history cannot be written"),
        (["--report", "/proc/report"], "/proc/report cannot be written"),
        (["--history", "/tmp/one", "--report", "/tmp/../tmp/one"], "the report would be written over the history"),
        (["--against", "http://127.0.0.1:1", "--nodes", "3", "--faults", "all"], "--nodes and --faults: not with"),
        (["--against", "http://127.0.0.1:1", "--network", "namespaces"], "--network: not with"),
        (["--against", "http://127.0.0.1:1", "--resp", "7001"], "7001"),
        (["--resp", "127.0.0.1:7001"], "--resp: give one for each --against"),
        (["--network", "wire"], "'wire' is not one of 'relays', 'namespaces'"),
        (["--against", "ftp://127.0.0.1"], "ftp"),
        (["--against", "http://127.0.0.1:1", "--mutant", "no-fence"], "--mutant: not with"),
    ],
)
def test_wrong_usage(flags: list[str], words: str, capsys: Capture) -> None:
    told = Told(capsys, "chaos", *flags)
    assert 2 == told.code
    assert words in " ".join(told.err.split())


def test_namespaces_without_root_or_tools_start_nothing(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    told = Told(capsys, "chaos", "--network", "namespaces")
    assert 2 == told.code
    assert "namespaces need root: run it with sudo" in told.err
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: None if name in ("nft", "tc") else f"/usr/sbin/{name}")
    told = Told(capsys, "chaos", "--network", "namespaces")
    assert 2 == told.code
    assert "tc and nft cannot be found: install iproute2 and nftables" in told.err
    assert [] == list(tmp_path.glob("quorate-chaos-*"))


def test_of_a_family_what_cannot_work_is_left_out_and_what_is_named_is_not() -> None:
    """`--faults partitions` was refused by three nodes, because two partitions need five."""
    missing = {"partition-ring": "it needs five"}
    assert {} == refused(["partitions"], ["partition-leader"], missing)
    assert {} == refused(["all"], ["partition-leader"], missing)
    assert missing == refused(["partition-ring", "partitions"], ["partition-leader"], missing)
    assert missing == refused(["partitions"], [], missing)


def test_a_cluster_that_does_not_answer_is_not_judged(capsys: Capture, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    told = Told(capsys, "chaos", "--against", f"http://127.0.0.1:{port}", "--history", str(tmp_path / "h"))
    assert 3 == told.code
    assert f"http://127.0.0.1:{port} cannot be reached" in told.err


def test_the_faults_are_listed(capsys: Capture) -> None:
    told = Told(capsys, "chaos", "--list")
    assert 0 == told.code
    assert all(f"  {name} " in told.out for name in ALL)
    assert set(ALL) == {name for family in Told(capsys, "chaos", "--list", "--json").json.values() for name in family}


def test_planted_bugs_are_listed_from_a_source_checkout(capsys: Capture) -> None:
    told = Told(capsys, "chaos", "--mutant", "list")
    assert 0 == told.code
    assert "ack-before-sync" in told.out
    assert {"name", "about", "faults"} == set(Told(capsys, "chaos", "--mutant", "list", "--json").json[0])


def test_a_planted_bug_that_there_is_not_and_a_release(capsys: Capture, tmp_path: Path) -> None:
    told = Told(capsys, "chaos", "--mutant", "greed")
    assert 2 == told.code
    assert "no planted bug is called 'greed': quorate chaos --mutant list shows all" in " ".join(told.err.split())
    told = Told(capsys, "chaos", "--mutant", "inc-flusch")
    assert "; did you mean inc-flush" in " ".join(told.err.split())
    with pytest.raises(Invalid, match="planted bugs are in no release: run this from a source checkout"):
        planted_bugs(tmp_path)
