"""Spans around pieces of work, where they are asked for; nothing at all where they are not."""

import re
from contextlib import AbstractContextManager, nullcontext
from typing import Any

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NOTHING = nullcontext()
# An instance of `observability.otel.Tracing` while spans are sent.
_tracing: Any = None


def start_tracing(endpoint: str, *, version: str) -> None:
    """Once in a process, until `stop_tracing`. Raises ImportError without the extra `otel`."""
    global _tracing  # noqa: PLW0603 - tracing is the process's own
    from observability.otel import Tracing  # noqa: PLC0415 - its libraries are an extra

    _tracing = Tracing(endpoint, version=version)


def stop_tracing() -> None:
    """Send what is left. Blocks, a few seconds at most."""
    global _tracing  # noqa: PLW0603 - tracing is the process's own
    if _tracing is not None:
        _tracing.stop()
    _tracing = None


def is_tracing() -> bool:
    return _tracing is not None


def span(name: str) -> AbstractContextManager[Any]:
    """Around a piece of work. The name holds nothing of people."""
    return _NOTHING if _tracing is None else _tracing.span(name)


def request_span(name: str, traceparent: str | None) -> AbstractContextManager[Any]:
    """Around a request, below the span of whoever sent it."""
    if _tracing is None:
        return _NOTHING
    return _tracing.request_span(name, traceparent)  # type: ignore[no-any-return]  # of the extra


def parse_trace_id(traceparent: str) -> str | None:
    """32 hexadecimal digits of a header as W3C has it; None for what is none."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else None
