"""One scrape of each of two real nodes that have all parts (a sink, a source, Consul, tokens, TLS), and of a stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quorate.cluster.entry import LEVEL_NEEDED, InShare
from quorate.config import Config, load
from quorate.ingest.social import stream_metrics
from quorate.node import Node
from quorate.processes.ports import free_ports
from tests.support.certificates import Authority
from tests.support.tokens import write_tokens
from tests.unit.ingest.social.test_listen import Metered, Shown

NOBODY = "127.0.0.1:1"  # nothing listens there


class Scraped:
    """What each said, as text, and `shown`: the labels of each sample of all, by the sample's name."""

    def __init__(self, leader: str, follower: str, stream: str) -> None:
        self.leader, self.follower, self.stream = leader, follower, stream
        self.shown: dict[str, list[dict[str, str]]] = {}
        for family in (
            family for text in (leader, follower, stream) for family in text_string_to_metric_families(text)
        ):
            for sample in family.samples:
                self.shown.setdefault(sample.name, []).append(dict(sample.labels))


@pytest.fixture(scope="session")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Scraped:
    leader, follower = asyncio.run(_scrape(tmp_path_factory.mktemp("metrics")))
    stream = Shown(tmp_path_factory.mktemp("stream"), Metered(0))
    stream.busy()
    return Scraped(leader, follower, stream_metrics.as_text(stream.status).decode())


async def _scrape(folder: Path) -> list[str]:
    authority = Authority(folder)
    roles = {"read": "read", "manage": "manage", "vote": "vote"}
    tokens = write_tokens(folder / "tokens.toml", roles, bounds={"vote": "share = 1"})
    raft_ports = free_ports(2)
    configs = [_config(folder, f"n{place}", raft_ports, authority, tokens) for place in (1, 2)]
    async with contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(_running(config)) for config in configs]
        await _until(lambda: any(node.replica.is_leader for node in nodes))
        await _until(lambda: all(node.replica.leader and node.http.listening for node in nodes))
        await _until(lambda: all(node.replica.state.level >= LEVEL_NEEDED[InShare] for node in nodes))  # of shares
        leader, follower = sorted(nodes, key=lambda node: not node.replica.is_leader)
        ask = _asker(authority.client_context(), leader)
        await ask(
            "POST", "/polls", "manage", {"id": "mood", "title": "How?", "options": ["happy", "sad"], "state": "open"}
        )
        await ask("POST", "/votes", "vote", {"option": "happy", "poll": "mood", "id": "u1"})
        await _speak_resp(authority.client_context(), leader)
        await ask("GET", "/metrics", "made up", status="401")
        await ask("POST", "/votes", "read", {"option": "happy"}, status="403")
        await _until(lambda: all(each.caught_up()[0] and each.last_flush for each in leader.flushers))
        await _until(lambda: leader.replica.status().clock_offsets_ms)
        await _until(lambda: leader.backups and leader.backups.status().last_age_s is not None)  # there was none yet
        context = authority.client_context()
        return [await _asker(context, node)("GET", "/metrics", "read") for node in (leader, follower)]


def _config(folder: Path, id: str, raft_ports: Sequence[int], authority: Authority, tokens: Path) -> Config:
    cert, key = authority.issue()
    own_cert, own_key = authority.issue(id, [id])
    flags = {
        "node.id": id,
        "node.data": str(folder / id),
        "http.listen": "127.0.0.1:0",
        "resp.listen": "127.0.0.1:0",
        "http.tls_cert": str(cert),
        "http.tls_key": str(key),
        "auth.file": str(tokens),
        "auth.anonymous": "",
        "raft.listen": f"127.0.0.1:{raft_ports[int(id[1:]) - 1]}",
        "raft.peers": ",".join(f"n{place}=127.0.0.1:{port}" for place, port in enumerate(raft_ports, 1)),
        "raft.bootstrap": "true",
        "raft.election_timeout_ms": "3000",  # a machine that stands still for a moment has them elect nobody else
        "raft.tls_cert": str(own_cert),
        "raft.tls_key": str(own_key),
        "raft.tls_ca": str(authority.file),
        "flush.sinks": "sqlite",
        "flush.interval_ms": "50",
        "sqlite.path": str(folder / "ballots.db"),
        "backup.schedule": "0 4 1 1 *",
        "backup.to": str(folder / "backups"),
        "nsq.nsqd": NOBODY,
        "consul.address": NOBODY,
    }
    return load(env={}, flags=flags).config


async def _speak_resp(context: ssl.SSLContext, node: Node) -> None:
    """A vote, and one that is refused."""
    port = int(node.resp.listening[0].rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(
        b"AUTH manage\r\nXADD poll:mood IDMP ana 1 * option happy\r\nXADD poll:mood * option happy\r\nQUIT\r\n"
    )
    lines = (await reader.read()).split(b"\r\n")
    writer.close()
    assert [b"+OK", b"$", b"-ERR", b"+OK"] == [lines[0], lines[1][:1], lines[3][:4], lines[4]], lines


@contextlib.asynccontextmanager
async def _running(config: Config) -> AsyncIterator[Node]:
    node = Node(config)
    run = asyncio.create_task(node.run())
    try:
        yield node
    finally:
        node.ask_to_stop()
        await run


def _asker(context: ssl.SSLContext, node: Node):  # type: ignore[no-untyped-def]
    port = int(node.http.listening[0].rpartition(":")[2])

    async def ask(method: str, path: str, token: str, body: object = None, status: str = "20") -> str:
        data = b"" if body is None else json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n"
        writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer
        return answer.partition(b"\r\n\r\n")[2].decode()

    return ask


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
