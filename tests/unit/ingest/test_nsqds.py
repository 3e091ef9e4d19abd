"""Which nsqds an nsqlookupd tells of: anybody may have told it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import pytest

from quorate.ingest.nsq import publisher
from quorate.ingest.nsq.letter_box import make_box
from quorate.ingest.nsq.lookup import NSQDS_MAX, Lookup
from quorate.ingest.nsq.publisher import NoNsqd, Publisher, nsqds_of
from quorate.ingest.nsq.settings import NsqSettings
from tests.support.http_handler import serving
from tests.support.raw_server import raw_server, wait_for_end
from tests.support.timed import Timed


def told(host: Any, tcp_port: Any = 4150, http_port: Any = 4151) -> dict[str, Any]:
    return {"broadcast_address": host, "tcp_port": tcp_port, "http_port": http_port}


PRODUCERS = [
    told("nsqd.example"),
    told("user:secret@nsqd.example"),
    told("nsqd.example\n"),
    told("a\x1b[2Jb"),
    told("x" * 1_000_000),
    told("0.0.0.0"),
    told("nsqd.example", 0),
]


class NsqLookupdHandler(BaseHTTPRequestHandler):
    answer: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        body = self.answer
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def a_lookup(answer: bytes) -> type[BaseHTTPRequestHandler]:
    return type("OneAnswerHandler", (NsqLookupdHandler,), {"answer": answer})


def of(producers: Iterable[dict[str, Any]]) -> bytes:
    return json.dumps({"producers": [*producers]}).encode()


def many(prefix: str, number: int) -> list[dict[str, Any]]:
    return [told(f"{prefix}{place}.example") for place in range(number)]


def test_commands_and_nodes_dial_only_what_is_an_address() -> None:
    async def found_by_a_node(address: str) -> set[str]:
        lookup = Lookup(NsqSettings(lookupd=[address]), lambda whose, trouble: False)
        await lookup.find_nsqds()
        return lookup.nsqds

    with serving(a_lookup(of(PRODUCERS))) as port:
        address = f"127.0.0.1:{port}"
        assert ["nsqd.example:4150"] == nsqds_of([address])
        assert {"nsqd.example:4150"} == asyncio.run(found_by_a_node(address))


@pytest.mark.parametrize("answer", [b"[" * 100_000, b'{"producers":' * 50_000, b"\xff", b"{", b"[]", b"5"])
def test_an_nsqlookupd_that_answers_nonsense_keeps_no_other_one_from_being_heard(answer: bytes) -> None:
    troubles: dict[str, str] = {}

    async def found_by_a_node(addresses: list[str]) -> set[str]:
        lookup = Lookup(NsqSettings(lookupd=addresses), lambda whose, trouble: bool(troubles.update({whose: trouble})))
        await lookup.find_nsqds()
        return lookup.nsqds

    with serving(a_lookup(answer)) as bad, serving(a_lookup(of([told("nsqd.example")]))) as good:
        addresses = [f"127.0.0.1:{bad}", f"127.0.0.1:{good}"]
        assert {"nsqd.example:4150"} == asyncio.run(found_by_a_node(addresses))
        assert f"nsqlookupd {addresses[0]}: " in troubles[f"nsqlookupd {addresses[0]}"]
        assert ["nsqd.example:4150"] == nsqds_of(addresses)


def test_nsqlookupd_names_no_more_nsqds_than_a_node_can_ask() -> None:
    """Those that are known already stay: whoever tells an nsqlookupd of thousands pushes out no honest one."""
    troubles: dict[str, str] = {}
    known = many("honest", 3)

    async def found_by_a_node() -> tuple[set[str], int]:
        settings = NsqSettings(lookupd=[f"127.0.0.1:{port}"])
        lookup = Lookup(settings, lambda whose, trouble: bool(troubles.update({whose: trouble})))
        await lookup.find_nsqds()
        assert not any(troubles.values())
        OneLookup.answer = of([*many("a", 5_000), *known])
        await lookup.find_nsqds()
        return lookup.nsqds, len(lookup._stats_urls)

    class OneLookup(NsqLookupdHandler):
        answer = of(known)

    with serving(OneLookup) as port:
        nsqds, asked = asyncio.run(found_by_a_node())
        assert len(nsqds) == asked == NSQDS_MAX
        assert {f"honest{place}.example:4150" for place in range(3)} < nsqds
        assert [f"5,003 nsqds are named, and {NSQDS_MAX} of them are used"] == [t for t in troubles.values() if t]
        assert NSQDS_MAX == len(nsqds_of([f"127.0.0.1:{port}"]))


@pytest.mark.parametrize(
    "answer",
    [
        b"[" * 100_000,
        b'{"topics":[{}]}',
        b'{"topics":[{"channels":[{"depth":"x"}]}]}',
        b'{"topics":5}',
        b'{"topics":[5]}',
    ],
)
def test_an_nsqd_that_answers_nonsense_hides_no_other_ones_depth(answer: bytes) -> None:
    troubles: dict[str, str] = {}
    honest = b'{"topics":[{"channels":[{"depth":3},{"depth":4}]}]}'

    async def depth(ports: list[int]) -> int | None:
        lookup = Lookup(NsqSettings(), lambda whose, trouble: bool(troubles.update({whose: trouble})))
        lookup._stats_urls = {f"http://127.0.0.1:{port}/stats" for port in ports}
        await lookup.measure_depth()
        return lookup.depth

    with serving(a_lookup(answer)) as bad, serving(a_lookup(honest)) as good:
        assert 7 == asyncio.run(depth([bad, good]))
        assert troubles["the depth"].startswith(f"asking nsqds for their depth: http://127.0.0.1:{bad}/stats: ")


def test_an_nsqd_whose_disk_fails_is_told_until_it_is_well() -> None:
    """It drops messages that it has confirmed, and tells nobody but who asks for its health."""
    troubles: dict[str, str] = {}
    full = "NOK - write /data/votes.diskqueue.000017.dat: no space left on device"

    async def depth(lookup: Lookup, ports: list[int]) -> int | None:
        lookup._stats_urls = {f"http://127.0.0.1:{port}/stats" for port in ports}
        await lookup.measure_depth()
        return lookup.depth

    def stats(health: str) -> bytes:
        return json.dumps({"health": health, "topics": [{"channels": [{"depth": 3}]}]}).encode()

    lookup = Lookup(NsqSettings(), lambda whose, trouble: bool(troubles.update({whose: trouble})))
    with serving(a_lookup(stats(full))) as harmed, serving(a_lookup(stats("OK"))) as well:
        assert 6 == asyncio.run(depth(lookup, [well, harmed]))
        told = f"the nsqd at http://127.0.0.1:{harmed} is not well and may drop messages that it has confirmed: {full}"
        assert {told} == {trouble for trouble in troubles.values() if trouble}
        assert 3 == asyncio.run(depth(lookup, [well]))
    assert not any(troubles.values())


@pytest.mark.parametrize(
    "terms", [b"[" * 100_000, b"[]", b"5", b"\xff", b'{"max_rdy_count":"x"}', b'{"max_rdy_count":[]}']
)
def test_an_nsqd_whose_terms_are_nonsense_is_told_in_words(terms: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "time", Timed())
    frame = struct.pack(">ii", 4 + len(terms), 0) + terms

    def answer(connection: socket.socket) -> None:
        connection.sendall(frame)
        wait_for_end(connection)

    with raw_server(answer, reads=False) as server:
        with pytest.raises(NoNsqd, match="is this nsqd's TCP address"):
            make_box(f"127.0.0.1:{server.port}", "letters")
        with pytest.raises(NoNsqd, match="is this nsqd's TCP address"):
            Publisher([f"127.0.0.1:{server.port}"], "topic", timeout_s=30).publish([b"{}"])
