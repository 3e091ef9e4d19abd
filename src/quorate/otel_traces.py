"""Sends traces to a collector by OTLP over HTTP, with OpenTelemetry's SDK (the extra `otel`).

A request is traced if its caller says so (`traceparent`), or by chance (`traces.ratio`); never more than `TRACES_MAX` a
second, so that no caller can make a node send without end. What is traced is put into spans when the request is
answered, and a thread of the SDK sends them. If the collector does not answer, they are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from quorate import __version__
from quorate.config import Config
from quorate.tracing import Attribute, RequestTrace, TracedStep
from quorate.web.session import WebSession

TRACES_MAX = 100  # a second
SAMPLED = 1  # of the flags of `traceparent`
EXPORT_S = 5.0
STOP_S = 2.0

log = logging.getLogger(__name__)


class _ToldExporter(SpanExporter):
    """Says once when spans cannot be sent, and once when they can be again. Used on the SDK's thread."""

    def __init__(self, exporter: SpanExporter, url: str) -> None:
        self._exporter, self._url = exporter, url
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        fails = result is not SpanExportResult.SUCCESS
        if fails and not self._fails:
            log.warning("traces cannot be sent to %s; they are dropped, and counting goes on", self._url)
        elif self._fails and not fails:
            log.info("traces are sent to %s again", self._url)
        self._fails = fails
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class OtelTracer:
    """The node's `Tracer`. Made and used on its loop."""

    def __init__(
        self, config: Config, exporter: SpanExporter | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # a line for each failure: `_ToldExporter` tells
        url = config.traces.url.rstrip("/") + "/v1/traces"
        session = WebSession(origins=1, connections=1)
        exporter = exporter or OTLPSpanExporter(endpoint=url, timeout=EXPORT_S, session=session)
        names = {
            "service.name": "quorate",
            "service.namespace": config.node.cluster,
            "service.instance.id": config.node.id,
            "service.version": __version__,
        }
        self._provider = TracerProvider(resource=Resource.create(names), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_ToldExporter(exporter, url)))
        self._tracer = self._provider.get_tracer("quorate", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._clock = clock
        self._ratio = config.traces.ratio
        self._second, self._traces = 0, 0  # the present second, and how many traces began in it

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> RequestTrace | None:
        parent = next((value.decode("latin-1") for name, value in headers if name == b"traceparent"), "")
        if not (_is_sampled(parent) or random.random() < self._ratio) or not self._has_room():
            return None
        return RequestTrace(time.perf_counter(), parent)

    def end(self, trace: RequestTrace, route: str, status: int) -> None:
        attributes: dict[str, Attribute] = {
            "http.request.method": "POST",
            "http.route": route,
            "http.response.status_code": status,
        }
        self._end(trace, attributes)

    def end_command(self, trace: RequestTrace, command: str, votes: int, error: str) -> None:
        failed = {"error.type": error} if error else {}
        self._end(trace, {"quorate.command": command, "quorate.votes": votes, **failed})

    def _end(self, trace: RequestTrace, attributes: Mapping[str, Attribute]) -> None:
        now_s = time.perf_counter()
        offset_s = time.time() - now_s
        context = self._propagator.extract({"traceparent": trace.parent}) if trace.parent else None
        request = self._tracer.start_span(
            "receive", context, SpanKind.SERVER, dict(attributes), start_time=_ns(trace.began_s + offset_s)
        )
        self._put_within(request, trace.steps, offset_s)
        request.end(_ns(now_s + offset_s))

    def _put_within(self, parent: Span, steps: Iterable[TracedStep], offset_s: float) -> None:
        inside = set_span_in_context(parent)
        for step in steps:
            began_ns = _ns(step.began_s + offset_s)
            span = self._tracer.start_span(step.name, inside, attributes=dict(step.attributes), start_time=began_ns)
            self._put_within(span, step.inner, offset_s)
            span.end(max(began_ns, _ns(step.ended_s + offset_s)))

    def flushed(self, sink: str, began_s: float, ended_s: float, version: int) -> None:
        """A trace of its own: a flush writes what many requests have changed. The times are those of `monotonic`."""
        if random.random() >= self._ratio or not self._has_room():
            return
        offset_s = time.time() - time.monotonic()
        attributes: dict[str, Any] = {"quorate.sink": sink, "quorate.version": version}
        span = self._tracer.start_span("flush", attributes=attributes, start_time=_ns(began_s + offset_s))
        span.end(_ns(ended_s + offset_s))

    def _has_room(self) -> bool:
        if (second := int(self._clock())) != self._second:
            self._second, self._traces = second, 0
        self._traces += 1
        return self._traces <= TRACES_MAX

    async def stop(self) -> None:
        """Send what is not sent yet, for a moment. Idempotent."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(ended.set)

        # Not one of the loop's own threads: the loop would wait for it, and a collector may hang.
        threading.Thread(target=end, name="traces-end", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await ended.wait()


def _is_sampled(traceparent: str) -> bool:
    parts = traceparent.split("-")
    try:
        return len(parts) >= 4 and bool(int(parts[3], 16) & SAMPLED)
    except ValueError:
        return False


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
