"""Span export over OTLP. Imported only when tracing is on: its libraries are the extra `otel`."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


class OtlpTracer:
    """Export spans in the background to an OTLP/HTTP collector, given by its base URL."""

    def __init__(self, endpoint: str, *, version: str) -> None:
        resource = Resource.create(
            {"service.name": "icct26-registration", "service.version": version}
        )
        self._provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("icct26")

    def span(self, name: str) -> AbstractContextManager[Span]:
        return _record_error_class(
            self._tracer.start_as_current_span(
                name, record_exception=False, set_status_on_exception=False
            )
        )

    def request_span(self, name: str, traceparent: str | None) -> AbstractContextManager[Span]:
        """Open a server span as a child of the caller's span."""
        carrier = {"traceparent": traceparent} if traceparent else {}
        return _record_error_class(
            self._tracer.start_as_current_span(
                name,
                context=_PROPAGATOR.extract(carrier),
                kind=SpanKind.SERVER,
                record_exception=False,
                set_status_on_exception=False,
            )
        )

    def stop(self) -> None:
        """Export the remaining spans. Blocks for a few seconds at most."""
        self._provider.shutdown()


@contextmanager
def _record_error_class(span_context: AbstractContextManager[Span]) -> Generator[Span]:
    """Record only the class of an exception: its message may contain personal data."""
    with span_context as span:
        try:
            yield span
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
