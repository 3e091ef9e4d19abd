"""The port: what anybody who reaches it can do to stock PySyncObj, over real sockets. One pair a failure.

`test_NAME_stock` shows the failure on the library as it is installed, `test_NAME_ours` its absence in our replica.
What hostile peers cannot do to our transport is in tests/unit/raft/test_transport_hostile.py.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
import random
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pysyncobj.pickle
import pytest
from pysyncobj import SyncObjConf
from pysyncobj.dns_resolver import globalDnsResolver

from quorate.cluster import entry
from quorate.cluster.fsm import StateMachine
from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.elections import ElectionTiming
from quorate.cluster.raft.environment import ReplicaSettings
from quorate.cluster.raft.replica import RaftReplica
from quorate.cluster.raft.snapshot import transfer
from quorate.cluster.raft.storage.directory import DataDirectory
from quorate.cluster.raft.transport.handshake.credentials import shared_key
from quorate.cluster.raft.transport.streams import CALLS, INTRODUCTIONS, RAFT, REFUSALS
from quorate.cluster.submit.submitter import Submitter
from quorate.errors import DataError
from quorate.vote import Vote
from tests.stock.our_net import OurNet
from tests.stock.relay import Relay
from tests.stock.stock_net import Counter, private
from tests.support.waiting import until, wait_for
from tests.unit.raft.raw_peer import Node, RawPeer, pair
from tests.unit.raft.small_logs import Disk

# ---- code from outside ----------------------------------------------------------------------------------------------


class Bomb:
    """A pickle that does something when it is read: here, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@contextmanager
def stock_node(**conf: Any) -> Iterator[tuple[Any, int]]:
    """A stock node on a port of its own, and the port. Its peer does not exist."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    node = Counter(f"127.0.0.1:{port}", ["127.0.0.1:1"], SyncObjConf(autoTick=False, **conf))
    try:
        yield node, port
    finally:
        node.destroy()


def framed(data: bytes) -> bytes:
    return struct.pack("i", len(data)) + data


def ticked(node: Any, condition: Callable[[], bool]) -> Callable[[], bool]:
    """For `wait_for`: let the node work, then check."""

    def tick() -> bool:
        node.doTick(0.005)
        return condition()

    return tick


def test_pickle_rce_stock(tmp_path: Path) -> None:
    """The first message of any peer is unpickled to find out which node it is."""
    mark = tmp_path / "it ran"
    with stock_node() as (node, port), socket.create_connection(("127.0.0.1", port), 5) as raw_peer:
        raw_peer.sendall(framed(zlib.compress(pickle.dumps(Bomb(mark), 2))))
        wait_for("the code of a stranger has run", ticked(node, mark.exists))


@pytest.mark.parametrize("key", [None, b"the key of this cluster"], ids=["keyless", "keyed"])
def test_pickle_rce_ours(tmp_path: Path, key: bytes | None) -> None:
    mark = tmp_path / "it ran"
    bombs = [pickle.dumps(Bomb(mark), 2), zlib.compress(pickle.dumps(Bomb(mark), 2))]

    async def main() -> None:
        async with Node("n1", key=key) as one:
            for bomb in bombs:
                for said in (framed(bomb), struct.pack(">I", len(bomb)) + bomb, bomb):
                    async with await RawPeer.connect(one) as raw_peer:
                        raw_peer.writer.write(said)
                        assert await raw_peer.is_hung_up_on()
                for stream in (RAFT, CALLS, INTRODUCTIONS, REFUSALS):
                    async with await RawPeer.connect(one) as insider:
                        await insider.come_in(key=key)
                        insider.say(stream, bomb)
                        insider.say(RAFT, b"\xc1")  # and now it is hung up on in any case
                        assert await insider.is_hung_up_on()

    asyncio.run(main())
    for bomb in bombs:
        with pytest.raises(DataError):
            StateMachine.restore(bomb)
        disk = Disk()
        disk.files.put("log-00000000000000000001.seg", bomb)
        with pytest.raises(DataError):
            disk.open(may_create=False)
    assert not mark.exists()
    pickle.loads(bombs[0])
    assert mark.exists(), "the bomb is one"


def test_pickle_rce_nothing_is_unpickled_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our replica never unpickles, not even in code that it inherits from the library."""

    def unpickle(*arguments: Any, **named: Any) -> None:
        raise AssertionError("something was unpickled")

    for module in (pickle, pysyncobj.pickle):
        for name in ("load", "loads", "Unpickler"):
            monkeypatch.setattr(module, name, unpickle, raising=False)
    with OurNet(1, snapshot_bytes=2_000, keep_bytes=300) as net:
        net.start_all("abc")
        leader = net.elect()
        follower = net.others(leader)[0]
        net.partition([follower], net.others(follower))
        tags = net.propose_all(leader, "x", 60, each_s=0.05)
        net.heal()
        net.run(2)
        net.wait_for(net.replicas[leader].change_members(lambda members: members.adding("d", "d:1")))
        for name in "abc":
            net.crash(name)
            net.start(name)
        net.elect()
        net.run(1)
        assert dict.fromkeys("abc", tags) == {name: net.tags(name) for name in "abc"}
        assert {} == net.halted


# ---- small traps ----------------------------------------------------------------------------------------------------

READS_AN_ADDRESS = "import socket, {}; print(socket.inet_ntop(socket.AF_INET, bytes((127, 0, 0, 1))))"


@pytest.mark.parametrize(
    ("modules", "printed"),
    [
        ("pysyncobj", ""),
        ("quorate.cluster.raft.engine.stock", "127.0.0.1\n"),
        ("pysyncobj, quorate.cluster.raft.engine.stock", "127.0.0.1\n"),
    ],
)
def test_small_traps_inet_ntop_stock_and_ours(modules: str, printed: str) -> None:
    """Importing the library replaces socket.inet_ntop for the whole process by one that raises; ours puts it back."""
    program = READS_AN_ADDRESS.format(modules)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert printed == ran.stdout, ran.stderr


def test_small_traps_stock() -> None:
    resolver = globalDnsResolver()
    resolver.setPreferredAddrFamily("ipv6")
    assert socket.AF_INET == resolver._DnsCachingResolver__preferredAddrFamily, "who prefers IPv6 gets IPv4"
    resolver.setPreferredAddrFamily("ipv4")

    binary = bytes(range(256)) * 400
    assert len(pysyncobj.pickle.dumps(binary)) > 1.4 * len(binary), "protocol 2 writes bytes as text"

    with stock_node() as (node, port):
        connections = private(node, "transport")._connections
        hello = framed(zlib.compress(pickle.dumps("readonly", 2)))
        for _ in range(20):
            before = len(connections)
            with socket.create_connection(("127.0.0.1", port), 5) as raw_peer:
                raw_peer.sendall(hello)
                wait_for("it is let in", ticked(node, lambda before=before: len(connections) > before))  # type: ignore[misc]
        for _ in range(20):
            node.doTick(0.005)
        assert len(connections) >= 20, "they are gone, and never forgotten"

        with socket.create_connection(("127.0.0.1", port), 5) as raw_peer:
            raw_peer.setblocking(False)
            raw_peer.send(struct.pack("i", 2**31 - 1))
            unknown = private(node, "transport")._unknownConnections

            def held() -> bool:
                with suppress(BlockingIOError):
                    raw_peer.send(bytes(1_000_000))
                return max((len(each._TcpConnection__readBuffer) for each in unknown), default=0) > 8_000_000

            wait_for("8 MB of a frame of 2 GiB are kept for a stranger", ticked(node, held))


def test_small_traps_ours() -> None:
    binary = bytes(range(256)) * 400
    assert len(messages.encode(messages.Append(1, 0, 0, 0, [(1, binary)]))) < len(binary) + 100

    async def main() -> None:
        async with Node("n1") as one, Node("n2") as two:
            for _ in range(20):
                async with await RawPeer.connect(one) as raw_peer:
                    await raw_peer.come_in("n3")
                    await until("it is let in", lambda: one.transport.is_open("n3"))
                await until("it is gone", lambda: not one.transport.is_open("n3"))
            assert {} == one.transport._handshaking
            assert {} == one.transport._open

            async with await RawPeer.connect(one) as raw_peer:
                raw_peer.writer.write(struct.pack(">I", 2**31 - 1))
                assert await raw_peer.is_hung_up_on(within_s=1.5), "before a byte of it came"
            await pair(one, two)

    asyncio.run(main())


def test_small_traps_ipv6_ours() -> None:
    async def main() -> None:
        one, two = Node("n1"), Node("n2")
        port = await one.transport.start([("::1", 0)])
        try:
            one.transport.set_members({"n2": ["[::1]:1"]})
            two.transport.set_members({"n1": [f"[::1]:{port}"]})
            await until("they meet", lambda: one.transport.is_open("n2") and two.transport.is_open("n1"))
        finally:
            await one.transport.stop()
            await two.transport.stop()

    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    asyncio.run(main())


# ---- a big snapshot over a bad line ---------------------------------------------------------------------------------

STATE_BYTES = 3 * 1024 * 1024
BAD_LINE: dict[str, Any] = {"after_bytes": (200_000, 1_000_000), "seed": 5}


def test_big_snapshot_tcp_stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets are real. Only the clock of the library's Raft is ours: it sends about 50 pieces in one call."""
    failed: list[str] = []
    monkeypatch.setattr("pysyncobj.syncobj.logger.exception", lambda text, *rest, **named: failed.append(text))
    monkeypatch.setattr("pysyncobj.syncobj.monotonicTime", itertools.count(0, 0.001).__next__)
    names = [f"127.0.0.1:{port}" for port in free_ports(3)]
    nodes: dict[str, Any] = {}

    def start(name: str, **conf: Any) -> None:
        defaults = {"connectionRetryTime": 0.01, "logCompactionMinTime": 10**6, "logCompactionBatchSize": 8192}
        files = {"fullDumpFile": str(tmp_path / name.replace(":", "-")), "useFork": False, "maxBindRetries": 1}
        others = [other for other in names if other != name]
        nodes[name] = Counter(name, others, SyncObjConf(autoTick=False, **{**defaults, **files, **conf}))

    def working(condition: Callable[[], object]) -> Callable[[], bool]:
        def tick() -> bool:
            for node in nodes.values():
                node.doTick(0)
            return bool(condition())

        return tick

    try:
        for name in names[1:]:
            start(name)
        wait_for("a leader", working(lambda: any(node._isLeader() for node in nodes.values())), every_s=0)
        leader = next(node for node in nodes.values() if node._isLeader())
        for number in range(10):
            leader.add(f"{number}")
        wait_for("ten entries", working(lambda: len(leader.tags) == 10), every_s=0)
        leader.pad = random.Random(1).randbytes(STATE_BYTES)
        leader.forceLogCompaction()
        wait_for("a dump", working(lambda: private(leader, "lastSerializedEntry")), every_s=0)
        transport = private(leader, "transport")
        send, pieces, cut_after = transport.send, 0, 100

        def counted(node: Any, message: dict[str, Any]) -> Any:
            nonlocal pieces
            if message.get("serialized"):
                pieces += 1
            return send(node, message)

        transport.send = counted
        start(names[0], raftMinTimeout=10**5, raftMaxTimeout=10**6, connectionTimeout=10**6)

        def cut() -> bool:
            nonlocal cut_after
            if pieces > cut_after:  # and what is under way is lost
                cut_after += 1000
                for connection in private(nodes[names[0]], "transport")._connections.values():
                    connection.disconnect()
            return "failed to load full dump" in failed

        wait_for("a snapshot that cannot be loaded", working(cut), deadline_s=60, every_s=0)
    finally:
        for node in nodes.values():
            node.destroy()


def free_ports(count: int) -> list[int]:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(server.getsockname()[1]) for server in servers]
    for server in servers:
        server.close()
    return ports


def test_big_snapshot_tcp_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """n1 is called by the others, through the relay; it was away while the log went on without it."""
    monkeypatch.setattr(transfer, "PIECE_BYTES", 65536)

    async def main(relay: Relay) -> None:
        addresses = {"n1": f"127.0.0.1:{relay.port}", "n2": f"127.0.0.1:{ports[0]}", "n3": f"127.0.0.1:{ports[1]}"}
        halted: list[BaseException] = []

        async def start(name: str, port: int) -> RaftReplica:
            settings = ReplicaSettings(
                node_id=name,
                cluster_name="test",
                listen=[("127.0.0.1", port)],
                peers=addresses,
                http="",
                credentials=shared_key(b"the key of this cluster"),
                bootstrap=True,
                timing=ElectionTiming(0.5),
                dedup_window=1000,
                snapshot_bytes=100_000,
                keep_bytes=100,
                segment_bytes=1_000_000,
            )
            replica = RaftReplica(settings, DataDirectory.open(tmp_path / name, node_id=name), on_halt=halted.append)
            await replica.start()
            return replica

        async with AsyncExitStack() as stack:
            replicas = [await start("n1", relay.target), await start("n2", ports[0]), await start("n3", ports[1])]
            await until("a leader", lambda: any(each.is_leader for each in replicas), deadline_s=30)
            await replicas[0].stop()
            for each in replicas[1:]:
                stack.push_async_callback(each.stop)
            await until("a leader", lambda: any(each.is_leader for each in replicas[1:]), deadline_s=30)
            leader = next(each for each in replicas[1:] if each.is_leader)
            await until("a formed state", lambda: leader.state.hash_key)
            submitter = Submitter(leader)
            texts = [f"option {number:6} {'x' * 80}" for number in range(STATE_BYTES // 100)]
            await submitter.create_poll(entry.CreatePoll("big", "", texts, "open", None, False), timeout_s=20)
            for number in range(30):
                await submitter.cast([Vote(texts[number], poll="big")] * 100, timeout_s=20)
            await until("a snapshot", lambda: leader.status().snapshot_index, deadline_s=30)
            relay.cuts = 3
            late = await start("n1", relay.target)
            stack.push_async_callback(late.stop)
            await until("it has caught up", lambda: late.state.version == leader.state.version, deadline_s=60)
            assert leader.state.digest() == late.state.digest()
            assert (3, 1) == (relay.cut, late.status().snapshots_received)
            assert [] == halted

    with Relay(cuts=0, **BAD_LINE) as relay:
        relay.target, *ports = free_ports(3)
        asyncio.run(main(relay))
