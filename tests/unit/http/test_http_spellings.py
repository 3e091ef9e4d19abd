"""What can be created can be asked for in every spelling in which it was accepted, at both doors."""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quorate.http.metrics import rendering
from quorate.http.metrics.observation import Observation
from tests.support.http_node import MOOD, Node, running

COMPOSED = unicodedata.normalize("NFC", "café")
DECOMPOSED = unicodedata.normalize("NFD", "café")
BODY = json.dumps({"option": "happy", "id": "a"}).encode()


@pytest.fixture(params=[True, False], ids=["loop", "Flask"], scope="module")
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with running(hot=request.param) as node:
        node.ask("POST", "/polls", MOOD)
        assert 201 == node.ask("POST", "/polls", {"id": DECOMPOSED, "options": [DECOMPOSED, "tea"]}).status
        yield node


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("id", [COMPOSED, DECOMPOSED])
def test_a_poll_is_found_by_every_spelling_of_its_id(node: Node, id: str, slash: str) -> None:
    address = f"/polls/{quote(id)}"
    assert COMPOSED == node.ask("GET", f"{address}{slash}").json["id"]
    assert COMPOSED == node.ask("GET", f"{address}/results{slash}").json["id"]
    for state in ("closed", "open"):
        assert 200 == node.ask("POST", f"{address}/state{slash}", {"state": state}).status
    assert 200 == node.ask("HEAD", f"/events{slash}?poll={quote(id)}").status
    cursor = quote(f"1.{id}")
    assert 200 == node.ask("GET", f"/polls{slash}?limit=1&cursor={cursor}").status
    assert 200 == node.ask("POST", f"/votes{slash}", {"option": id, "poll": id}).status


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", p) for p in ("/polls", "/nodes", "/status", "/version", "/metrics", "/livez", "/readyz", "/openapi.json")],
)
def test_every_route_is_found_with_a_slash_at_its_end(node: Node, method: str, path: str) -> None:
    assert 200 == node.ask(method, path).status == node.ask(method, f"{path}/").status


def test_a_slash_that_is_part_of_an_id_is_kept(node: Node) -> None:
    answers = [node.ask("GET", f"/polls/{id}").json for id in ("none%2F", "none//", "none/")]
    assert ["none/", "none//", "none"] == [answer["poll"] for answer in answers]


def test_the_keys_of_requests_are_one_in_every_spelling(node: Node) -> None:
    applied = [
        node.ask("POST", "/votes", [{"option": "happy"}], {"Idempotency-Key": key.encode().decode("latin-1")}).json
        for key in (COMPOSED, DECOMPOSED)
    ]
    assert [(1, 0), (0, 1)] == [(tallied["applied"], tallied["duplicates"]) for tallied in applied]


@pytest.mark.parametrize("path", ["/votes", "/polls", "/producers"])
@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "Zstd"])
def test_a_compressed_body_is_refused_by_its_name(node: Node, path: str, coding: str) -> None:
    answer = node.ask("POST", path, gzip.compress(BODY), {"Content-Encoding": coding})
    assert (415, "unsupported-media-type") == (answer.status, answer.json["type"])
    assert coding in answer.json["detail"]
    assert "identity" == answer.headers["accept-encoding"]


@pytest.mark.parametrize("coding", ["identity", "", "Identity"])
def test_a_body_that_says_it_is_not_compressed_is_read(node: Node, coding: str) -> None:
    assert 200 == node.ask("POST", "/votes", BODY, {"Content-Encoding": coding}).status


def test_a_body_compressed_by_its_transfer_coding_is_refused_by_its_name(node: Node) -> None:
    data = gzip.compress(BODY)
    with node.dial() as sock:
        sock.sendall(b"POST /votes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")
        sock.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
        answer = sock.recv(65_536)
    assert b"HTTP/1.1 415" == answer[:12], answer
    assert b"gzip" in answer


@pytest.mark.parametrize("ids", [["n-1", "n.1", "n_1"], ["é", "è"], ["a b", "a\nb", 'a"b', "a\\b"], ["total", "1"]])
def test_metrics_are_valid_whatever_the_ids_of_nodes_are(ids: list[str]) -> None:
    links = {id: {"backlog_bytes": place, "open": True} for place, id in enumerate(ids)}
    observation = Observation({"raft": {"role": "leader", "links": links}})
    families = list(text_string_to_metric_families(rendering.as_text(observation).decode()))
    (backlog,) = (family for family in families if family.name == "quorate_raft_peer_backlog_bytes")
    assert dict(enumerate(ids)) == {sample.value: sample.labels["peer"] for sample in backlog.samples}
    assert {family.name for family in families} == set(rendering.as_json(observation))
