"""OpenTelemetry spans. Without an endpoint every function here does nothing."""

import re
from contextlib import AbstractContextManager, nullcontext
from typing import Any

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NO_SPAN = nullcontext()
# An `observability.otel.OtlpTracer` while spans are exported.
_tracer: Any = None


def start_tracing(endpoint: str, *, version: str) -> None:
    """Export spans until `stop_tracing`; call it once. Raises ImportError without extra `otel`."""
    global _tracer  # noqa: PLW0603 - one tracer for the process
    from observability.otel import OtlpTracer  # noqa: PLC0415 - an optional dependency

    _tracer = OtlpTracer(endpoint, version=version)


def stop_tracing() -> None:
    """Export the remaining spans. Blocks for a few seconds at most."""
    global _tracer  # noqa: PLW0603 - one tracer for the process
    if _tracer is not None:
        _tracer.stop()
    _tracer = None


def is_tracing() -> bool:
    return _tracer is not None


def span(name: str) -> AbstractContextManager[Any]:
    """Open a span. `name` must not contain personal data."""
    return _NO_SPAN if _tracer is None else _tracer.span(name)


def request_span(name: str, traceparent: str | None) -> AbstractContextManager[Any]:
    """Open the span of a request, as a child of the caller's span in `traceparent`."""
    if _tracer is None:
        return _NO_SPAN
    return _tracer.request_span(name, traceparent)  # type: ignore[no-any-return]  # see _tracer


def parse_trace_id(traceparent: str) -> str | None:
    """Return the 32 hexadecimal digits of a W3C `traceparent` header; None if it is invalid."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else None
