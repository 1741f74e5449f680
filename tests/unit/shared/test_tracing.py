"""Traces: nothing while they are off; on, one a mail, and no text of anything in them."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from shared import tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_SDK = ("opentelemetry.sdk", "opentelemetry.trace", "opentelemetry.exporter", "google.protobuf", "requests")
_ALL = f"import sys, services.{{0}}.app; print([name for name in {_SDK} if name in sys.modules])"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    made, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(made))
    monkeypatch.setattr(tracing, "_batch", tracing._batches(provider.get_tracer("test")))
    yield made
    provider.shutdown()


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


@pytest.mark.parametrize("service", ["fetcher", "dispatcher", "ticketing", "mailer"])
def test_a_service_that_does_not_trace_imports_nothing_of_the_sdk(service: str) -> None:
    told = subprocess.run([sys.executable, "-c", _ALL.format(service)], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_off_nothing_is_asked_of_the_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    end = tracing.start("fetcher")
    unread = iter([b"never"])
    with tracing.batch("fetch", unread) as spans:
        spans.note(0, transport_key="k")
        assert spans.of(0) == b""
    assert list(unread) == [b"never"]
    assert not tracing.on()
    end()


def test_a_protocol_that_is_not_spoken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(tracing.Unsupported, match="only http/protobuf"):
        tracing.start("fetcher")


def test_each_mail_of_a_batch_goes_on_its_own_trace_and_links_to_the_batch(exporter: InMemorySpanExporter) -> None:
    with tracing.batch("settle", [PARENT.encode(), b"", b"nonsense"]) as spans:
        handed_on = [spans.of(position).decode() for position in range(3)]
    (whole,) = named(exporter, "settle batch")
    assert whole.attributes == {"messaging.batch.message_count": 3}
    known, begun, other = named(exporter, "settle")
    assert known.parent is not None
    assert f"{known.parent.span_id:016x}" == PARENT.split("-")[2]
    assert begun.parent is None
    assert other.parent is None
    traces = [f"{span.context.trace_id:032x}" for span in (known, begun, other)]
    assert traces[0] == PARENT.split("-")[1]
    assert len({*traces, f"{whole.context.trace_id:032x}"}) == 4
    for span, text in zip((known, begun, other), handed_on, strict=True):
        assert text[:-2] == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"
        assert int(text[-2:], 16) & 1
        assert [link.context.span_id for link in span.links] == [whole.context.span_id]


def test_what_failed_says_its_type_and_never_its_text(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="maria"), tracing.batch("compose", [PARENT.encode()]):
        raise ValueError("maria@kunde.example")
    for span in exporter.get_finished_spans():
        assert span.status.description == "ValueError"
        assert not span.events
        assert "maria" not in span.to_json()


def test_a_mail_that_is_not_sampled_is_not_traced_further(exporter: InMemorySpanExporter) -> None:
    unsampled = PARENT.removesuffix("1") + "0"
    with tracing.batch("settle", [unsampled.encode()]) as spans:
        assert spans.of(0).decode().endswith("-00")
        assert tracing.exemplar(spans.of(0).decode()) is None
    assert named(exporter, "settle") == []


def test_who_samples_nothing_hands_on_that_nothing_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    monkeypatch.setattr(tracing, "_batch", tracing._batches(provider.get_tracer("test")))
    with tracing.batch("fetch", [b""]) as spans:
        assert tracing.exemplar(spans.of(0).decode()) is None


def test_an_observation_names_the_trace_that_was_recorded() -> None:
    assert tracing.exemplar(PARENT) == {"trace_id": "0af7651916cd43dd8448eb211c80319c"}
    assert tracing.exemplar(PARENT.removesuffix("01") + "03") is not None, "its id is random (level 2)"
    assert tracing.exemplar(PARENT.removesuffix("01") + "02") is None
    assert tracing.exemplar("") is None
