"""`quorate doctor` beside a real cluster: all is well, then a node is killed."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

from quorate.processes.cluster import FreshCluster

KEY = "7d2c1f0a9b8e6d5c4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e"


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "quorate", "doctor", *arguments], capture_output=True, text=True, timeout=60
    )


def test_what_is_wrong_with_a_cluster_is_told(tmp_path: Path) -> None:
    with FreshCluster(tmp_path / "c", settings={"raft.key": KEY}) as cluster:
        cluster.wait_whole()
        leader = cluster.leader()

        def finds_nothing() -> bool:
            """Of the nodes. A busy machine makes a clock differ for a moment, as it is measured."""
            lines = doctor(str(leader.config)).stdout.splitlines()
            wrong = [line for line in lines if not line.startswith("ok ") and " n" in line.partition(":")[0]]
            return not wrong and f"ok   {leader.id}: leader, ready" in lines

        cluster.wait_for("nothing is wrong", finds_nothing)

        killed = next(node for node in cluster.nodes if node is not leader)
        killed.kill()
        unconnected = f"BAD  {leader.id}: is not connected to {killed.id}"
        cluster.wait_for("it is told", lambda: unconnected in doctor("--node", leader.url).stdout)
        bundle = tmp_path / "bundle.tar.gz"
        told = doctor("--node", leader.url, "--bundle", str(bundle))
        assert (1, True) == (told.returncode, f"{killed.url}: does not answer" in told.stdout), told.stdout
        with tarfile.open(bundle) as tar:
            held = [(name, tar.extractfile(name).read()) for name in tar.getnames()]  # type: ignore[union-attr]
        assert len(held) > 8
        assert [] == [name for name, data in held if KEY.encode() in data]

        told = doctor("--node", leader.url, "--bundle", str(bundle))
        assert (2, "", True) == (told.returncode, told.stdout, "is there already" in told.stderr)
        told = doctor("--node", leader.url, "--bundle", str(tmp_path / "no" / "b"))
        assert (2, "", True) == (told.returncode, told.stdout, "is no folder" in told.stderr)
        (tmp_path / "bad.toml").write_text("[raft]\nlisten = 5\n")
        told = doctor(str(tmp_path / "bad.toml"), "--node", leader.url)
        assert (1, True) == (told.returncode, "BAD  settings: " in told.stdout), told.stdout
