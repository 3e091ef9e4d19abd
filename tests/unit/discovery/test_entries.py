"""What Consul lists under the name of our service, by whomever it was put there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import pytest

from quorate.cluster.discovery.entries import read_entries
from quorate.cluster.discovery.nodes import find_nodes, find_raft_addresses
from quorate.config import Consul
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
    answer: ClassVar[Any] = [*STRANGERS, listed(META, Tags=["leader"])]

    def do_GET(self) -> None:
        body = json.dumps(self.answer).encode()
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
