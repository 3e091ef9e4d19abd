"""Elections: which leaders stock PySyncObj elects, and what its pauses cost. One script a pair.

`test_NAME_stock` shows the failure on the library as it is installed, `test_NAME_ours` its absence in our replica.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster.fsm import Image
from quorate.cluster.raft import members
from quorate.errors import DataError, NoLeader
from tests.stock.net import DROP, Net
from tests.stock.our_net import OurNet
from tests.stock.stock_net import StockNet, private
from tests.support.waiting import wait_for

SEEDS = range(5)


# ---- a node comes back ----------------------------------------------------------------------------------------------


def deposes(net: Net) -> bool:
    """A node hears nothing for ten seconds, though its connections stay, and then is back. Returns whether it harms."""
    net.start_all("abc")
    leader = net.elect()
    deaf = net.others(leader)[0]
    net.listen(lambda source, target, message: DROP if deaf in (source, target) else None)
    net.run(10)
    term = net.term(leader)
    net.listen(None)
    net.run(3)
    return net.leader() != leader or net.term(leader) > term


def leads_after_cut_s(net: Net) -> float:
    """A leader is cut off, another is elected. How long the old one goes on saying that it leads."""
    net.start_all("abc")
    old = net.elect()
    rest = net.others(old)
    net.partition([old], rest)
    cut_s = net.now_s
    assert net.until(lambda: not net.leads(old))
    took_s = net.now_s - cut_s
    net.elect(rest)
    return took_s


def test_disruptive_stock() -> None:
    deposed = 0
    for seed in SEEDS:
        with StockNet(seed) as net:
            deposed += deposes(net)
    assert len(SEEDS) == deposed, "it has raised its term meanwhile, and everybody believes it"
    with StockNet(1) as net:
        assert leads_after_cut_s(net) > 25, "its leaderFallbackTimeout; until then it answers as a leader"


@pytest.mark.parametrize("seed", SEEDS)
def test_disruptive_ours(seed: int) -> None:
    with OurNet(seed) as net:
        assert not deposes(net)
    with OurNet(seed) as net:
        assert leads_after_cut_s(net) < 1.5 * net.election_s


def test_disruptive_reads_ours() -> None:
    """In between, it answers no linearizable read."""
    with OurNet(1) as net:
        net.start_all("abc")
        old = net.elect()
        net.partition([old], net.others(old))
        assert net.leads(old)
        with pytest.raises(NoLeader):
            net.wait_for(net.replicas[old].barrier())


def test_repeated_ballot_stock() -> None:
    with StockNet(1) as net:
        net.names = list("abcde")
        for name in "ab":
            net.start(name)
        net.listen(lambda source, target, message: DROP)
        assert net.until(lambda: net.term("a") > 0 and not net.leads("a"))
        for _ in range(2):
            net.deliver("b", "a", {"type": "response_vote", "term": net.term("a")})
        assert net.leads("a"), "one ballot, twice: it leads with two of five"


# ---- a node that forgot ---------------------------------------------------------------------------------------------


def test_amnesia_stock() -> None:
    """By default its log is in memory only. After a restart it votes and acknowledges with an empty log."""
    lost = 0
    for seed in SEEDS:
        with StockNet(seed) as net:
            net.start_all("abc")
            leader = net.elect()
            forgetful, absent = net.others(leader)
            net.partition([absent], [leader, forgetful])
            tags = net.propose_all(leader, "x", 10)
            net.run(1)
            assert 10 == net.told("success", tags)
            net.crash(forgetful)
            net.crash(leader)
            net.heal()
            net.start(forgetful)
            net.elect([forgetful, absent])
            net.run(2)
            lost += not net.tags(absent)
    assert len(SEEDS) == lost


@pytest.mark.parametrize("seed", SEEDS)
def test_amnesia_ours(seed: int) -> None:
    with OurNet(seed) as net:
        net.start_all("abc")
        leader = net.elect()
        forgetful, absent = net.others(leader)
        net.partition([absent], [leader, forgetful])
        tags = net.propose_all(leader, "x", 10)
        net.run(1)
        assert 10 == net.told("success", tags)
        net.crash(forgetful)
        net.crash(leader)
        net.wipe(forgetful)
        net.heal()
        net.start(forgetful)
        assert not net.until(net.leader, limit_s=20), "no majority remembers"
        net.start(leader)
        net.elect()
        net.run(2)
        assert dict.fromkeys("abc", tags) == {name: net.tags(name) for name in "abc"}
        assert not net.replicas[forgetful].status().voter, "it has copies again, and no voice until it is replaced"


def test_meta_lost_stock(tmp_path: Path) -> None:
    """Term and ballot are in a small file of their own, which may be empty after a power loss: taken for no ballot."""
    with StockNet(1, folder=tmp_path, dump=False) as net:
        net.names = list("abc")
        silent = {"append_entries", "from c: request_vote"}

        def first(source: str, target: str, message: Any) -> str | None:
            return DROP if silent & {message["type"], f"from {source}: {message['type']}"} else None

        net.listen(first)
        net.start("a")
        net.start("c")
        assert net.until(lambda: net.leads("a"))
        term = net.term("c")
        assert "a" == private(net.nodes["c"], "votedForNodeId")
        net.crash("c")
        (tmp_path / "c.journal.meta").write_bytes(b"")

        def second(source: str, target: str, message: Any) -> str | None:
            if {source, target} == {"a", "b"} or (source, target) == ("a", "c"):
                return DROP
            return DROP if source == "c" and message["type"] == "request_vote" else None

        net.listen(second)
        net.start("c")
        net.start("b")
        assert net.until(lambda: net.leads("b"))
        assert ("b", term) == (private(net.nodes["c"], "votedForNodeId"), net.term("c")), "a second ballot in one term"
        net.listen(lambda source, target, message: DROP if {source, target} == {"a", "b"} else None)
        net.propose("a", "from a")
        net.propose("b", "from b")
        net.run(2)
        assert {"from a": "success", "from b": "success"} == net.outcomes
        assert net.tags("a") != net.tags("b")


def test_meta_lost_ours() -> None:
    """Whichever file of a node is empty or gone, the node remembers its ballot or refuses to start."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        follower = net.others(leader)[0]
        journal = net.journal(follower)
        remembered = journal.getCurrentTerm(), journal.getVotedForNodeId()
        assert leader == remembered[1]
        net.crash(follower, power=True)
        files = net.directories[follower].files
        verdicts: dict[str, str] = {}
        lost = [[name] for name in files.names()] + [files.names()]
        for names, left in itertools.product(lost, (b"", None)):
            net.directories[follower].files = files.copy()
            for name in names:
                net.directories[follower].files.put(name, left)
            what = f"{' and '.join(names)} {'gone' if left is None else 'empty'}"
            try:
                net.start(follower)
            except DataError:
                verdicts[what] = "refused"
            else:
                journal = net.journal(follower)
                assert remembered == (journal.getCurrentTerm(), journal.getVotedForNodeId()), what
                verdicts[what] = "remembered"
                net.crash(follower, power=False)
        # What it can do without: how far the log was synced, and what it remembers of its peers.
        spare = ["peers.seen gone", "peers.seen empty", "log.synced gone", "log.synced empty"]
        assert spare == sorted((what for what in verdicts if verdicts[what] == "remembered"), reverse=True)


# ---- members --------------------------------------------------------------------------------------------------------


def test_membership_guard_stock() -> None:
    with StockNet(1, dynamicMembershipChange=True) as net:
        net.start_all("abc")
        leader = net.elect()
        rest = net.others(leader)
        net.partition([leader], rest)
        for name in "de":
            net.nodes[leader].addNodeToCluster(name)
        net.run(0.5)
        node = net.nodes[leader]
        assert net.last_index(leader) - node.raftCommitIndex >= 2, "two changes, and none is committed"
        assert {*rest, "d", "e"} == {other.id for other in node.otherNodes}, "majorities need not overlap"


def test_membership_guard_ours() -> None:
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.partition([leader], net.others(leader))
        engine = net.engine(leader)
        last = net.last_index(leader)
        known = members.decode(engine.members_at(last))
        changes = [members.encode(known.adding(name, f"{name}:1")) for name in "de"]
        appended: list[tuple[int, int] | None] = []

        async def change() -> None:
            appended.extend(engine.propose_members(change, lambda result, outcome: None) for change in changes)

        net.wait_for(change())
        assert [(last + 1, net.term(leader)), None] == appended
        assert last + 1 == net.last_index(leader)


# ---- pauses ---------------------------------------------------------------------------------------------------------

STATE_S = 4.0  # to pickle and compress, say, 40 MB


class SlowState:
    """State that takes long to encode. Meanwhile its node does nothing else."""

    def __init__(self, net: StockNet, name: str) -> None:
        self.net, self.name = net, name

    def __reduce__(self) -> tuple[Any, ...]:
        self.net.stall(self.name, STATE_S)
        return str, ("the state",)


def test_stall_election_stock() -> None:
    """Without a file, or a fork, the dump is written in the tick."""
    with StockNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        term = net.term(leader)
        net.propose(leader, "x")
        net.run(1)
        net.nodes[leader].pad = SlowState(net, leader)
        net.nodes[leader].forceLogCompaction()
        net.run(STATE_S + 2)
        assert net.term(leader) > term, "the others took it for dead"


def test_stall_election_ours() -> None:
    with OurNet(1, snapshot_bytes=2_000, keep_bytes=300) as net:
        net.start_all("abc")
        leader = net.elect()
        term = net.term(leader)
        disk = net.disks[leader]["quorate-snapshots"]
        disk.hold()
        net.propose_all(leader, "x", 60)
        net.run(STATE_S)
        assert 1 == len(disk), "the snapshot is not written yet"
        net.propose_all(leader, "y", 5)
        net.run(0.05)
        assert 65 == net.told("success"), "counting goes on"
        disk.release()
        net.run(2)
        assert net.replicas[leader].status().snapshot_index > 0
        assert (leader, term) == (net.leader(), net.term(leader))


def test_stalls_stock(tmp_path: Path) -> None:
    """With a fork the tick goes on; but the child has the parent's listening socket, and outlives it."""
    go_on = tmp_path / "go on"
    port = free_port()
    script = Path(__file__).with_name("orphan.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(port), str(tmp_path), str(go_on)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        orphan = int(parent.stdout.readline())
        assert -signal.SIGKILL == parent.wait(20)
        try:
            with pytest.raises(OSError, match="in use"):
                listen(port)
            with socket.create_connection(("127.0.0.1", port), 5):
                pass  # somebody takes the call, and never answers
        finally:
            go_on.touch()
    wait_for("the orphan ends", lambda: not alive(orphan))
    listen(port)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def listen(port: int) -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_stalls_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is frozen on the loop, encoded by the snapshots' thread, and there is no child."""
    writing: list[str] = []
    encoded: list[list[str]] = []
    encode = Image.encode

    def watched(image: Image) -> bytes:
        encoded.append(list(writing))
        return encode(image)

    monkeypatch.setattr(Image, "encode", watched)
    for name in ("fork", "forkpty", "posix_spawn"):
        monkeypatch.setattr(os, name, functools.partial(pytest.fail, f"{name} was called"))
    with OurNet(1, snapshot_bytes=2_000, keep_bytes=300) as net:
        net.start_all("a")
        disk = net.disks["a"]["quorate-snapshots"]
        complete = disk.complete

        def completing() -> bool:
            writing.append("quorate-snapshots")
            try:
                return complete()
            finally:
                writing.pop()

        monkeypatch.setattr(disk, "complete", completing)
        net.propose_all("a", "x", 60)
        net.run(1)
        assert encoded
        assert {("quorate-snapshots",)} == {tuple(each) for each in encoded}
