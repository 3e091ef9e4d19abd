"""`quorate sink`, against a node that is played by what its routes answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from quorate.cli.sink import sink

FLUSH = {
    "sink": "mongo",
    "phase": "retrying",
    "caught_up": False,
    "last_success_age_s": 12.34,
    "last_success_version": 17_000,
    "last_success_took_s": 0.01,
    "lag_versions": 1_250,
    "pending_polls": 3,
    "last_error": "MongoDB cannot be reached",
    "last_error_age_s": 0.5,
    "flushes": 10,
    "failures": 4,
    "documents": {"written": 30, "same": 0, "gone": 1},
    "deviations": {"edited": 0, "lost": 0, "deleted": 0, "polls": [], "last": None},
    "import": {"imported": 2, "searches": 5, "left_alone": 1, "problems": {"tea": "options is no list"}},
}


class Node(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        body = json.dumps(self.answers[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Node)
    url = f"http://127.0.0.1:{server.server_port}"
    Node.asked.clear()
    Node.answers = {
        "/leader": {"id": "n2", "http": url, "raft": "", "term": 5},
        "/status": {"flush": FLUSH, "sinks": {"mongo": FLUSH}},
        "/sink/adopt": {"documents": 2, "generation": 3},
    }
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield url
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_show_says_how_the_leaders_flush_goes(url: str) -> None:
    result = CliRunner().invoke(sink, ["show", "--node", url])
    assert 0 == result.exit_code
    assert [
        "sink         mongo, written by n2",
        "phase        retrying",
        "written      up to version 17,000, 12.3 s ago",
        "behind by    3 polls, 1,250 versions",
        "documents    30 written, 1 gone",
        "error        MongoDB cannot be reached",
        "imported     2 polls put there by hand",
        "left alone   tea: options is no list",
    ] == result.output.splitlines()


def test_show_without_a_sink_says_so(url: str) -> None:
    Node.answers["/status"] = {"flush": None, "sinks": {}}
    result = CliRunner().invoke(sink, ["show", "--node", url])
    assert "n2 leads and has no sink (flush.sinks is empty)\n" == result.output


def test_show_for_scripts(url: str) -> None:
    result = CliRunner().invoke(sink, ["show", "--json", "--node", url])
    assert {"leader": "n2", "flush": FLUSH, "sinks": {"mongo": FLUSH}} == json.loads(result.output)


def test_show_has_a_paragraph_for_each_sink(url: str) -> None:
    plain = {**FLUSH, "sink": "influx", "phase": "flushing", "last_error": None, "import": None}
    Node.answers["/status"] = {"flush": FLUSH, "sinks": {"mongo": FLUSH, "influx": plain}}
    result = CliRunner().invoke(sink, ["show", "--node", url])
    mongo, influx = result.output.split("\n\n")
    assert "error        MongoDB cannot be reached" in mongo
    assert ["sink         influx, written by n2", "phase        flushing"] == influx.splitlines()[:2]
    assert "imported" not in influx


def test_show_reads_the_status_of_a_node_that_has_one_sink_at_most(url: str) -> None:
    """A node of version 0.1.0."""
    Node.answers["/status"] = {"flush": FLUSH}
    assert "sink         mongo, written by n2" in CliRunner().invoke(sink, ["show", "--node", url]).output


def test_adopt_takes_the_name_of_one_sink(url: str) -> None:
    Node.answers["/sink/adopt?sink=mongo"] = {"documents": 1, "generation": 4}
    result = CliRunner().invoke(sink, ["adopt", "mongo", "--yes", "--json", "--node", url])
    assert {"documents": 1, "generation": 4} == json.loads(result.output)


def test_adopt_asks_first(url: str) -> None:
    assert 0 != CliRunner().invoke(sink, ["adopt", "--node", url], input="n\n").exit_code
    assert [] == posted()
    result = CliRunner().invoke(sink, ["adopt", "--node", url], input="y\n")
    assert 0 == result.exit_code
    assert "write over what stands in mongo? [y/N]" in result.output
    assert ["POST /sink/adopt"] == posted()
    assert "Taken over from other clusters: 2 documents. Generation 3" in result.output


def posted() -> list[str]:
    return [asked for asked in Node.asked if asked.startswith("POST")]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"sinks": {"mongo": FLUSH}}, "there is no sink 'mango'; did you mean mongo?"),
        ({"sinks": {}}, "no sink is set (flush.sinks is empty)"),
    ],
)
def test_what_cannot_be_adopted_is_refused_before_the_question(url: str, status: dict[str, Any], said: str) -> None:
    Node.answers["/status"] = status
    result = CliRunner().invoke(sink, ["adopt", "mango", "--node", url], input="y\n")
    assert "y/N" not in result.output
    assert said in str(result.exception)
    assert [] == posted()


def test_adopt_without_a_leader_asks_nothing() -> None:
    result = CliRunner().invoke(sink, ["adopt", "--node", "http://127.0.0.1:1"], input="y\n")
    assert "y/N" not in result.output
    assert "cannot be reached" in str(result.exception)


def test_adopt_for_scripts(url: str) -> None:
    result = CliRunner().invoke(sink, ["adopt", "--yes", "--json", "--node", url])
    assert {"documents": 2, "generation": 3} == json.loads(result.output)
