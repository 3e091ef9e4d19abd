"""What Consul lists under the name of our service, by whomever it was put there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import pytest

from quorate.cluster.discovery.entries import read_entries
from quorate.cluster.discovery.formation import discover
from quorate.cluster.discovery.nodes import find_nodes, find_raft_addresses
from quorate.config import Consul
from quorate.errors import NotReady
from tests.support.http_handler import serving

META = {"node": "n1", "cluster": "votes", "http": "http://10.0.0.1:8001", "raft": "10.0.0.1:9001", "cluster_id": "c1"}
NODE = {"Address": "10.0.0.9"}


def listed(meta: Any, **service: Any) -> dict[str, Any]:
    return {"Node": NODE, "Service": {"ID": "a", "Address": "", "Port": 8001, "Tags": [], "Meta": meta, **service}}


STRANGERS = [
    listed(None),  # as Consul tells of a service that was registered without any
    listed({}),
    listed({**META, "node": "n1\n"}),
    listed({**META, "node": "n\x1b[2J"}),
    listed({**META, "cluster": "votes\u202e"}),
    listed({**META, "http": 5}),
    listed(META, Tags=[5]),
    listed(META, Port="8001"),
    {"Service": listed(META)["Service"]},
    {"Node": NODE},
    "service",
    None,
]


class Handler(BaseHTTPRequestHandler):
    answer: ClassVar[Any] = [*STRANGERS, listed(META, Tags=["leader"])]  # or the bytes of one

    def do_GET(self) -> None:
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("X-Consul-Index", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def consul() -> Iterator[Consul]:
    with serving(Handler) as port:
        yield Consul(address=f"127.0.0.1:{port}")


def test_what_strangers_register_under_our_name_is_passed_over(consul: Consul) -> None:
    assert ["http://10.0.0.1:8001"] == find_nodes(consul)
    assert {"n1": "10.0.0.1:9001"} == find_raft_addresses(consul, "votes")


@pytest.mark.parametrize("answer", [None, {}, "text", [[]], 5])
def test_an_answer_that_is_no_list_of_services_names_no_node(
    consul: Consul, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "answer", answer)
    assert ([], {}) == (find_nodes(consul), find_raft_addresses(consul, "votes"))


UNREADABLE_ANSWERS = [b"[" * 100_000, b'[{"a":' * 50_000, b"\xff\xfe[", b"[1", b""]


@pytest.mark.parametrize("answer", UNREADABLE_ANSWERS, ids=["lists", "objects", "no text", "cut", "empty"])
def test_an_answer_that_nobody_can_read_is_told_in_words(
    consul: Consul, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "answer", answer)
    with pytest.raises(NotReady, match="it answers what cannot be read"):
        find_nodes(consul)


@pytest.mark.parametrize("answer", [b"[" * 100_000, b"[5]", b'["a"]', b'[{"Key":"a","Value":"\xc3\xa9"}]', b'{"a":5}'])
def test_a_candidate_waits_while_consul_answers_what_nobody_can_read(
    consul: Consul, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "answer", answer)
    stop, said = threading.Event(), list[str]()

    def told(words: str) -> None:
        said.append(words)
        stop.set()

    assert discover(consul, "votes", "n1", "127.0.0.1:9001", 3, stop=stop, told=told) is None
    assert "trying again" in said[0]
    assert len(said[0]) < 300


@pytest.mark.parametrize(
    ("meta", "service", "found"),
    [
        ({}, {}, ("http://10.0.0.1:8001", "10.0.0.1:9001")),
        ({"http": ""}, {}, ("http://10.0.0.9:8001", "10.0.0.1:9001")),
        ({"http": ""}, {"Address": "::1"}, ("http://[::1]:8001", "10.0.0.1:9001")),
        ({"http": ""}, {"Address": "a b"}, ("", "10.0.0.1:9001")),
        ({"http": "javascript:alert(1)"}, {}, ("", "10.0.0.1:9001")),
        ({"http": "http://user:secret@host"}, {}, ("", "10.0.0.1:9001")),
        ({"raft": "user:secret@host:1"}, {}, ("http://10.0.0.1:8001", "")),
        ({"raft": "0.0.0.0:9001"}, {}, ("http://10.0.0.1:8001", "")),
    ],
)
def test_an_address_that_is_none_is_not_asked(
    meta: dict[str, str], service: dict[str, Any], found: tuple[str, str]
) -> None:
    [entry] = read_entries([listed({**META, **meta}, **service)])
    assert found == (entry.url, entry.raft)
