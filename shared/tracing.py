"""OpenTelemetry traces: one a mail, from its mailbox to the SMTP server, off unless an endpoint is named.

Every step is a span of its mail's trace, child of the step before, whose `traceparent` (W3C Trace Context) travels in
the headers of its record, and beside the rows that wait. A batch is a trace of its own, and the spans of its mails link
to it. Attributes are the ticket's number and keys; never an address, a subject or a text.

`OTEL_EXPORTER_OTLP_ENDPOINT` turns them on, the SDK's other variables (`OTEL_TRACES_SAMPLER`, …) say the rest. Off,
nothing of the SDK is imported and a batch costs one call.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING

from shared.failures import describe
from shared.logs import fields

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
_FLUSH_MS = 3000
_SAMPLED = ("1", "3")  # 02: the id is random (level 2 of the recommendation)


class Unsupported(ValueError):
    """A protocol that is not spoken here."""


class Spans:
    """Those of a batch, one a mail, by position. This one is of no trace: what is asked of it costs nothing."""

    def of(self, position: int) -> bytes:  # noqa: ARG002  # of no trace
        """`traceparent` of the mail's span, for whoever handles it next; empty: none."""
        return b""

    def note(self, position: int, **attributes: str | int) -> None:
        """`ticket_number="…"` becomes the attribute `carteiro.ticket_number`."""


class _Live(Spans):
    def __init__(self, spans: "list[Span]") -> None:
        self._spans = spans

    def of(self, position: int) -> bytes:
        context = self._spans[position].get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}".encode()

    def note(self, position: int, **attributes: str | int) -> None:
        for name, value in attributes.items():
            self._spans[position].set_attribute(f"carteiro.{name}", value)


Batch = Callable[[str, Iterable[str | bytes], int | None, bool], AbstractContextManager[Spans]]
_NONE: AbstractContextManager[Spans] = nullcontext(Spans())
_batch: Batch | None = None


def batch(name: str, parents: Iterable[bytes], *, since: int | None = None) -> AbstractContextManager[Spans]:
    """A span for each of the mails, around what is done with all of them; what is raised inside marks them as failed.

    `parents`: the `traceparent` of each, empty where its trace begins. `since`: when it began, in ns since 1970.
    """
    return _NONE if _batch is None else _batch(name, parents, since, True)


def one(name: str, parent: str | bytes | None) -> AbstractContextManager[Spans]:
    """The same for a mail that is handled by itself."""
    return _NONE if _batch is None else _batch(name, [parent or ""], None, False)


def on() -> bool:
    """Whether anything is traced: spares what would only be noted."""
    return _batch is not None


def exemplar(traceparent: str) -> dict[str, str] | None:
    """What a histogram keeps beside an observation: the trace to look at, where it was recorded (flag 01)."""
    return {"trace_id": traceparent[3:35]} if traceparent[-1:] in _SAMPLED else None


def start(service: str) -> Callable[[], None]:
    """Turns traces on where the environment asks for them; returns what ends them: the last spans go out, within
    seconds. Raises Unsupported."""
    environment = os.environ  # noqa: TID251  # the SDK's own names
    if not any(environment.get(name) for name in _ENDPOINTS):
        return lambda: None
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _HTTP)
    if protocol != _HTTP:
        raise Unsupported(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: only {_HTTP} is spoken; leave it out")
    return _start(service)


def _start(service: str) -> Callable[[], None]:
    global _batch  # noqa: PLW0603  # one process, one answer to whether it traces
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    os.environ.setdefault("OTEL_SERVICE_NAME", f"carteiro-{service}")  # noqa: TID251  # the SDK's own name
    resource = Resource.create({"service.version": version("carteiro")})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _batch = _batches(provider.get_tracer("carteiro", version("carteiro")))
    log.info("traces are on", extra=fields(action="traces_on"))

    def end() -> None:
        global _batch  # noqa: PLW0603
        _batch = None
        provider.force_flush(_FLUSH_MS)

    return end


def _batches(tracer: "Tracer") -> Batch:
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    propagator = TraceContextTextMapPropagator()

    def context_of(parent: str | bytes) -> Context:
        text = parent if isinstance(parent, str) else parent.decode("ascii", "replace")
        return propagator.extract({"traceparent": text}, Context())

    @contextmanager
    def spans_of(name: str, parents: Iterable[str | bytes], since: int | None, together: bool) -> Iterator[Spans]:
        contexts = [context_of(parent) for parent in parents]
        around: list[Span] = []
        if together:
            size = {"messaging.batch.message_count": len(contexts)}
            around = [tracer.start_span(f"{name} batch", Context(), attributes=size, start_time=since)]
        links = [Link(each.get_span_context()) for each in around]
        kind = SpanKind.CONSUMER
        spans = [tracer.start_span(name, each, kind, links=links, start_time=since) for each in contexts]
        try:
            yield _Live(spans)
        except BaseException as error:
            failed = Status(StatusCode.ERROR, describe(error))  # never its text
            for span in (*spans, *around):
                span.set_status(failed)
            raise
        finally:
            for span in (*spans, *around):
                span.end()

    return spans_of
