"""Commands follow the proxy variables, all alike, with a real proxy that records what reaches it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from quorate.cluster.discovery.nodes import find_nodes
from quorate.config import Consul
from quorate.errors import ConfigError, NotReady
from quorate.ingest.nsq.lookup import Lookup
from quorate.ingest.nsq.publisher import NoNsqd, nsqds_of
from quorate.ingest.nsq.settings import NsqSettings
from tests.doubles.nsq import web
from tests.support import http_node
from tests.support.http_node import Node
from tests.support.little_proxy import LittleProxy, little_proxy
from tests.unit.cli.told import Capture, Told

NOWHERE = "http://127.0.0.1:1"
AWAY = "http://node.example:8001"  # no name server knows it: only the proxy does


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    with http_node.running(hosts=frozenset({"node.example"})) as started:
        assert 201 == started.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
        yield started


@pytest.fixture
def proxy(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LittleProxy]:
    with little_proxy(tmp_path, f"127.0.0.1:{node.port}") as started:
        monkeypatch.setenv("HTTP_PROXY", started.url)
        monkeypatch.setenv("HTTPS_PROXY", started.url)
        yield started


def test_a_vote_goes_through_the_proxy(node: Node, proxy: LittleProxy, capsys: Capture) -> None:
    told = Told(capsys, "vote", "happy", "--node", AWAY)
    assert (0, {"happy": 1, "sad": 0}) == (told.code, node.tally()), told.err
    assert [f"POST {AWAY}/votes"] == proxy.seen


def test_loopback_is_never_asked_through_the_proxy(node: Node, proxy: LittleProxy, capsys: Capture) -> None:
    for host in ("127.0.0.1", "localhost"):
        assert 0 == Told(capsys, "vote", "happy", "--node", f"http://{host}:{node.port}").code
    assert ({"happy": 2, "sad": 0}, []) == (node.tally(), proxy.seen)


def test_what_no_proxy_names_is_asked_directly(
    proxy: LittleProxy, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "example")
    told = Told(capsys, "vote", "happy", "--node", AWAY)
    assert (3, []) == (told.code, proxy.seen)
    assert f"{AWAY} cannot be reached: its name cannot be looked up; is it right?\n" in told.err


def test_a_proxy_that_is_down_was_surely_not_passed(node: Node, capsys: Capture, monkeypatch: Any) -> None:
    monkeypatch.setenv("http_proxy", NOWHERE)
    told = Told(capsys, "vote", "happy", "--node", AWAY)
    assert 3 == told.code
    assert f"{AWAY} cannot be reached: the proxy cannot be reached" in told.err
    assert f"(asked through the proxy {NOWHERE} (http_proxy); to ask it directly, add node.example to NO_PR" in told.err


def test_a_proxy_that_refuses_the_way_to_https_was_surely_not_passed(
    node: Node, proxy: LittleProxy, capsys: Capture
) -> None:
    told = Told(capsys, "vote", "happy", "--node", "https://node.example", "--timeout", "20")
    assert (3, {"happy": 0, "sad": 0}) == (told.code, node.tally())
    assert "cannot be reached: the proxy answers 403 Forbidden (asked through the proxy" in told.err
    assert {"CONNECT node.example:443"} == set(proxy.seen)


def test_a_proxy_of_another_kind_is_refused_by_its_variable(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
    told = Told(capsys, "vote", "happy", "--node", AWAY)
    assert 2 == told.code
    assert "HTTP_PROXY is socks5://127.0.0.1:1, and only proxies by http:// can be used" in told.err
    with pytest.raises(ConfigError, match="HTTP_PROXY is socks5"):
        find_nodes(Consul(address="consul.example:8500"))
    with pytest.raises(NoNsqd, match="HTTP_PROXY is socks5"):
        nsqds_of(["lookupd.example:4161"])


def test_consul_is_asked_as_nodes_are(node: Node, proxy: LittleProxy) -> None:
    for address in ("consul.example:8500", f"127.0.0.1:{node.port}"):
        with pytest.raises(NotReady):  # a node is no Consul
            find_nodes(Consul(address=address))
    assert ["GET http://consul.example:8500/v1/health/service/quorate?passing=1"] == proxy.seen


def test_nsqlookupd_is_asked_alike_by_commands_and_by_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        found = {"producers": [{"broadcast_address": "nsqd.example", "tcp_port": 4150, "http_port": 4151}]}
        paths = {"/lookup": found, "/nodes": found, "/stats": {"topics": []}}
        server = await web.serve(
            "127.0.0.1:0", {("GET", path): partial(answer, found) for path, found in paths.items()}
        )
        target = "{}:{}".format(*server.sockets[0].getsockname())
        with little_proxy(tmp_path, target) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            lookup = Lookup(NsqSettings(lookupd=["lookupd.example:4161", target]), lambda whose, error: False)
            await lookup.find_nsqds()
            await lookup.measure_depth()
            assert ({"nsqd.example:4150"}, 0) == (lookup.nsqds, lookup.depth)
            assert ["nsqd.example:4150"] == await asyncio.to_thread(nsqds_of, ["lookupd.example:4161", target])
            hosts = [line.split("?")[0] for line in proxy.seen]
        server.close()
        assert [
            "GET http://lookupd.example:4161/lookup",
            "GET http://nsqd.example:4151/stats",
            "GET http://lookupd.example:4161/nodes",
        ] == hosts

    asyncio.run(main())


def answer(found: Any, request: web.Request) -> Any:
    return found
