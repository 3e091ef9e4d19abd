"""Traces of votes, as a collector of OpenTelemetry gets them from real nodes."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.server
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from quorate.adapters import make_tracer
from quorate.config import Config, load
from quorate.errors import ConfigError
from quorate.node import Node
from quorate.otel_traces import TRACES_MAX, OtelTracer, _ToldExporter
from quorate.processes.ports import free_ports

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
THROUGH_ASGI = TRACE[::-1]
STEPS = ["wait", "propose", "sync", "commit", "apply"]


class Collector:
    """Takes what exporters send."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []  # with the node that they came from
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                collector.take(self.path, body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def take(self, path: str, body: bytes) -> None:
        assert "/v1/traces" == path
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)  # type: ignore[no-untyped-call]
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert "quorate" == names["service.name"]
            for scope in resource.scope_spans:
                self.spans += [(names["service.instance.id"], span) for span in scope.spans]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with contextlib.closing(Collector()) as found:
        yield found


def config_of(folder: Path, url: str, id: str = "n1", ports: tuple[int, ...] = (0,), **more: str) -> Config:
    flags = {
        "node.id": id,
        "node.data": str(folder / id),
        "http.listen": "127.0.0.1:0",
        "raft.listen": f"127.0.0.1:{ports[int(id[1:]) - 1]}",
        "raft.bootstrap": "true",
        "flush.sinks": "sqlite",
        "flush.interval_ms": "50",
        "sqlite.path": str(folder / "ballots.db"),
        "traces.url": url,
    }
    if len(ports) > 1:
        flags["raft.peers"] = ",".join(f"n{place}=127.0.0.1:{port}" for place, port in enumerate(ports, 1))
    named = {name.replace("__", "."): value for name, value in more.items()}
    return load(env={}, flags={**flags, **named}).config


async def post(node: Node, path: str, body: object, *headers: str) -> dict[str, object]:
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(node.http.listening[0].rpartition(":")[2]))
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}", *headers]
    writer.write("\r\n".join([*lines, "", ""]).encode() + data)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert " 20" == head[8:11], head
    answer = await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
    writer.close()
    found: dict[str, object] = json.loads(answer)
    return found


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def attributes_of(span: Span) -> dict[str, object]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def check_trace(found: Sequence[Span], answer: Mapping[str, object]) -> None:
    spans = {span.name: span for span in found}
    assert {"receive", *STEPS} == set(spans)
    receive = spans["receive"]
    assert CALLER == receive.parent_span_id.hex()
    assert {"http.request.method": "POST", "http.route": "/votes", "http.response.status_code": 200} == attributes_of(
        receive
    )
    for step in STEPS:
        assert receive.span_id == spans[step].parent_span_id
        assert receive.start_time_unix_nano <= spans[step].start_time_unix_nano, step
        assert spans[step].start_time_unix_nano <= spans[step].end_time_unix_nano <= receive.end_time_unix_nano, step
    assert answer["version"] == attributes_of(spans["apply"])["quorate.version"]
    assert spans["sync"].end_time_unix_nano <= spans["apply"].start_time_unix_nano
    assert spans["commit"].end_time_unix_nano == spans["apply"].start_time_unix_nano


def check_forwarded(found: Sequence[Span], leader: str) -> None:
    """What the leader did lies within `forward`, each step in its time."""
    (forward,) = (span for span in found if span.name == "forward")
    assert {"quorate.leader": leader} == attributes_of(forward)
    inside = {span.name: span for span in found if span.parent_span_id == forward.span_id}
    assert set(STEPS) == set(inside)
    assert {"receive", "wait", "forward"} == {span.name for span in found if span.span_id not in _ids(inside.values())}
    for step in inside.values():
        assert leader == attributes_of(step)["quorate.node"]
        assert forward.start_time_unix_nano <= step.start_time_unix_nano, step.name
        assert step.start_time_unix_nano <= step.end_time_unix_nano <= forward.end_time_unix_nano, step.name
    begins = [inside[name].start_time_unix_nano for name in ("wait", "propose", "commit", "apply")]
    assert begins == sorted(begins)


def _ids(spans: Iterable[Span]) -> set[bytes]:
    return {span.span_id for span in spans}


def test_a_vote_is_told_from_its_coming_to_its_count(tmp_path: Path, collector: Collector) -> None:
    """At a follower with what the leader did. Flushes are traces of their own."""

    async def main() -> tuple[str, dict[str, dict[str, object]]]:
        ports = tuple(free_ports(2))
        configs = [config_of(tmp_path, collector.url, id, ports, traces__ratio="1") for id in ("n1", "n2")]
        nodes = [Node(config) for config in configs]
        runs = [asyncio.create_task(node.run()) for node in nodes]
        try:
            await until(lambda: all(node.replica.leader and node.http.listening for node in nodes))
            await until(lambda: any(node.replica.is_leader and node.replica.state.cluster_id for node in nodes))
            leader, follower = sorted(nodes, key=lambda node: not node.replica.is_leader)
            await post(leader, "/polls", {"id": "mood", "title": "How?", "options": ["a", "b"], "state": "open"})
            await post(follower, "/votes", {"option": "b", "id": "u2"})
            vote = {"option": "a", "id": "u1"}
            answers = {
                TRACE: await post(leader, "/votes", vote, f"traceparent: 00-{TRACE}-{CALLER}-01"),
                THROUGH_ASGI: await post(
                    leader, "/votes", vote, f"traceparent: 00-{THROUGH_ASGI}-{CALLER}-01", "Connection: close"
                ),
            }
            await until(lambda: all(flusher.last_flush for flusher in leader.flushers))
        finally:
            for node in nodes:
                node.ask_to_stop()
            await asyncio.gather(*runs)
        return leader.config.node.id, answers

    leader, answers = asyncio.run(main())
    for trace, answer in answers.items():
        check_trace([span for _, span in collector.spans if span.trace_id.hex() == trace], answer)

    other = {span.trace_id for node, span in collector.spans if node != leader and span.name == "receive"}
    assert 1 == len(other)
    check_forwarded([span for _, span in collector.spans if span.trace_id in other], leader)
    flush = next(attributes_of(span) for node, span in collector.spans if (node, span.name) == (leader, "flush"))
    assert "sqlite" == flush["quorate.sink"]


def test_votes_of_redis_clients_are_told_from_their_coming_to_their_count(tmp_path: Path, collector: Collector) -> None:
    """Those that come in one turn are one trace. A vote without an id goes alone."""
    votes = b"".join(b"XADD poll:mood IDMP ana %d * option a\r\n" % number for number in range(3))

    async def main() -> None:
        config = config_of(
            tmp_path, collector.url, traces__ratio="1", resp__listen="127.0.0.1:0", resp__allow_unkeyed="true"
        )
        node = Node(config)
        run = asyncio.create_task(node.run())
        try:
            await until(lambda: node.resp.listening)
            early = await asyncio.open_connection("127.0.0.1", int(node.resp.listening[0].rpartition(":")[2]))
            await until(lambda: node.replica.is_leader and node.replica.state.cluster_id and node.http.listening)
            await post(node, "/polls", {"id": "mood", "title": "How?", "options": ["a", "b"], "state": "open"})
            reader, writer = early
            writer.write(votes)
            for place in range(3):
                assert f"-{place}".encode() in await reader.readuntil(b"-%d\r\n" % place)
            writer.write(b"HINCRBY poll:mood b 2\r\n")
            assert b":2\r\n" == await reader.readuntil(b"\r\n")
            writer.close()
        finally:
            node.ask_to_stop()
            await run

    asyncio.run(main())
    spans = [span for _, span in collector.spans]
    received = [span for span in spans if "quorate.command" in attributes_of(span)]
    together, alone = (
        {"quorate.command": "XADD", "quorate.votes": 3},
        {"quorate.command": "HINCRBY", "quorate.votes": 1},
    )
    assert [together, alone] == [attributes_of(span) for span in received]
    for receive in received:
        assert set(STEPS) == {span.name for span in spans if span.parent_span_id == receive.span_id}


def tracer_of(folder: Path, ratio: str, clock: Callable[[], float] = time.monotonic) -> OtelTracer:
    return OtelTracer(config_of(folder, "http://127.0.0.1:1", traces__ratio=ratio), InMemorySpanExporter(), clock)


def test_what_is_traced_is_said_by_the_caller_or_by_chance(tmp_path: Path) -> None:
    async def main() -> None:
        never, always = tracer_of(tmp_path, "0"), tracer_of(tmp_path, "1")
        for words in (b"", b"nonsense", b"00-x-y-zz", f"00-{TRACE}-{CALLER}-00".encode()):
            assert never.begin([(b"traceparent", words)]) is None
            assert always.begin([(b"traceparent", words)]) is not None
        assert never.begin([(b"traceparent", f"00-{TRACE}-{CALLER}-01".encode())]) is not None
        await never.stop()
        await always.stop()
        await always.stop()

    asyncio.run(main())


def test_no_caller_makes_a_node_trace_without_end(tmp_path: Path) -> None:
    now_s = 7.5
    tracer = tracer_of(tmp_path, "0", lambda: now_s)
    asked = [(b"traceparent", f"00-{TRACE}-{CALLER}-01".encode())]
    assert TRACES_MAX == sum(tracer.begin(asked) is not None for _ in range(3 * TRACES_MAX))
    now_s = 8.5
    assert tracer.begin(asked) is not None
    asyncio.run(tracer.stop())


def test_a_collector_that_is_away_is_told_once_and_once_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(InMemorySpanExporter):
        result = SpanExportResult.FAILURE

        def export(self, spans: object) -> SpanExportResult:
            return self.result

    caplog.set_level(logging.INFO)
    exporter = Failing()
    told = _ToldExporter(exporter, "http://c")
    for result in (SpanExportResult.FAILURE, SpanExportResult.FAILURE, SpanExportResult.SUCCESS):
        exporter.result = result
        told.export([])
    assert [
        "traces cannot be sent to http://c; they are dropped, and counting goes on",
        "traces are sent to http://c again",
    ] == caplog.messages


def test_a_node_counts_and_stops_though_no_collector_is_there(tmp_path: Path) -> None:
    async def main() -> int:
        node = Node(config_of(tmp_path, "http://127.0.0.1:1", traces__ratio="1"))
        run = asyncio.create_task(node.run())
        await until(lambda: node.replica.is_leader and node.replica.state.cluster_id and node.http.listening)
        await post(node, "/polls", {"id": "mood", "title": "How?", "options": ["a", "b"], "state": "open"})
        assert 1 == (await post(node, "/votes", {"option": "a"}))["applied"]
        node.ask_to_stop()
        return await run

    assert 0 == asyncio.run(main())


def test_traces_without_their_libraries_are_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "quorate.otel_traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"traces\.url needs the extra otel"):
        make_tracer(config_of(tmp_path, "http://127.0.0.1:4318"))
    assert make_tracer(config_of(tmp_path, "")) is None
    with pytest.raises(ConfigError, match=r"traces\.url is 'nowhere'; give a URL"):
        config_of(tmp_path, "nowhere")
