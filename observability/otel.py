"""OpenTelemetry itself. Imported only where it is asked for: its libraries are an extra."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Sends spans to the base address of an OTLP/HTTP receiver, in the background."""

    def __init__(self, endpoint: str, *, version: str) -> None:
        resource = Resource.create(
            {"service.name": "icct26-registration", "service.version": version}
        )
        self._provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("icct26")

    def span(self, name: str) -> AbstractContextManager[Span]:
        return _failing_by_class(
            self._tracer.start_as_current_span(
                name, record_exception=False, set_status_on_exception=False
            )
        )

    def request_span(self, name: str, traceparent: str | None) -> AbstractContextManager[Span]:
        """Below the span of whoever sent the request."""
        carrier = {"traceparent": traceparent} if traceparent else {}
        return _failing_by_class(
            self._tracer.start_as_current_span(
                name,
                context=_PROPAGATOR.extract(carrier),
                kind=SpanKind.SERVER,
                record_exception=False,
                set_status_on_exception=False,
            )
        )

    def stop(self) -> None:
        """Send what is left. Blocks, a few seconds at most."""
        self._provider.shutdown()


@contextmanager
def _failing_by_class(opened: AbstractContextManager[Span]) -> Generator[Span]:
    """A span that tells of an exception its class alone: its text may hold what was received."""
    with opened as span:
        try:
            yield span
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
