"""Configuration of structlog and standard logging: JSON lines, or readable text in development."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.types import EventDict, Processor

from observability.dedup import TracebackThrottle, drop_repeated, traceback_location
from observability.handlers import (
    BufferedStreamHandler,
    PreformattedLogger,
    PreformattedRecord,
    PrivateRotatingFileHandler,
)
from observability.redaction import redact, render_exception, resolve_exc_info, scrub_message

_FIRST_KEYS = (
    "timestamp",
    "level",
    "logger",
    "message",
    "request_id",
    "trace_id",
    "team_id",
    "response_time_ms",
)
# SQL statements carry personal data in their parameters; requests have their own access line.
_QUIET_LOGGERS = {
    "asyncio": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "sqlalchemy.engine": logging.WARNING,
    "uvicorn.access": logging.CRITICAL,
}
_tracebacks = TracebackThrottle()
_context_ids: ContextVar[Mapping[str, str]] = ContextVar("bound", default=MappingProxyType({}))


def configure_logging(
    *,
    level: str,
    environment: str,
    file: Path | None = None,
    file_max_bytes: int = 10 * 1024 * 1024,
    file_backups: int = 5,
) -> None:
    """Log to standard error, and as JSON to `file` if given. A later call replaces the settings."""
    global _processors  # noqa: PLW0603 - the configuration belongs to the process
    shared = _shared_processors()
    _tracebacks.clear()
    pretty = environment == "development"
    # If every handler writes JSON, render each line once, before the handlers get it.
    last = [ProcessorFormatter.wrap_for_formatter] if pretty else [_order_keys, _JSON]
    processors = [drop_repeated, *shared, *last]
    _processors = None if pretty else processors
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory() if pretty else PreformattedLogger,
        cache_logger_on_first_use=False,
    )
    # These fields are not written, and looking them up for every record takes time.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    stderr_handler = BufferedStreamHandler(sys.stderr)
    stderr_handler.setFormatter(_formatter(shared, pretty=pretty))
    handlers: list[logging.Handler] = [stderr_handler]
    if file is not None:
        handlers.append(_file_handler(file, shared, file_max_bytes, file_backups))
    _take_over_standard_logging(level, handlers)
    # Standard logging would print a record that it cannot format with its unredacted arguments.
    logging.raiseExceptions = environment == "development"


def log_fast(logger: str, event: str, **fields: object) -> None:
    """Log an info event without redaction. Give at least one field, and no personal data.

    For the most frequent events. If lines are JSON, they bypass structlog's processors.
    """
    # structlog.testing.capture_logs replaces the processors in this same list.
    if _processors is None or _processors[-1] is not _JSON:
        structlog.get_logger(logger).info(event, **fields)
    elif logging.root.isEnabledFor(logging.INFO):
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        ids = "".join([f'"{name}":"{value}",' for name, value in _context_ids.get().items()])
        line = (
            f'{{"timestamp":"{_format_second(second)}.{nanoseconds // 1000:06}Z","level":"info",'
            f'"logger":"{logger}","message":"{event}",{ids}{orjson.dumps(fields).decode()[1:]}'
        )
        record = PreformattedRecord(logger, logging.INFO, line)
        for handler in logging.root.handlers:
            handler.handle(record)


class log_context:  # noqa: N801 - used like a function: `with log_context(ids):`
    """Context manager that adds ids (`request_id`, `trace_id`) to every line logged inside it.

    The ids consist of letters, digits and `._-`. structlog's own contextvars are not used since
    they iterate over all context variables for each line.
    """

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = ids

    def __enter__(self) -> None:
        self._token = _context_ids.set(self._ids)

    def __exit__(self, *_: object) -> None:
        _context_ids.reset(self._token)


def current_request_id() -> str:
    """Return the id of the current request; an empty string outside of requests."""
    return _context_ids.get().get("request_id", "")


def _add_context_ids(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {**_context_ids.get(), **event}


@lru_cache(maxsize=2)
def _format_second(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def redact_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Redact fields and render the exception: a structlog processor.

    A traceback is written in full once a minute, and otherwise by its location only.
    """
    error = resolve_exc_info(event.pop("exc_info", None), sys.exc_info()[1])
    if event.get("_from_structlog") is False:
        event["event"] = scrub_message(str(event["event"]))
    redacted = redact(event)
    if error is not None:
        is_first = _tracebacks.should_log(error)
        redacted["exception"] = (
            render_exception(error) if is_first else f"{traceback_location(error)}, again"
        )
    return redacted


def _shared_processors() -> list[Processor]:
    return [
        _add_context_ids,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact_event,
    ]


def _formatter(shared: list[Processor], *, pretty: bool) -> ProcessorFormatter:
    renderer: Processor = _JSON
    if pretty:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            event_key="message",
            exception_formatter=structlog.dev.plain_traceback,
        )
    final = [ProcessorFormatter.remove_processors_meta, _order_keys, renderer]
    return _Formatter(foreign_pre_chain=shared, processors=final)


def _order_keys(_logger: object, _method: str, event: EventDict) -> EventDict:
    event["message"] = event.pop("event", "")
    first = {key: event[key] for key in _FIRST_KEYS if key in event}
    return {**first, **event}


def _to_json(event: EventDict, **_options: Any) -> str:
    try:
        return orjson.dumps(event).decode()
    except TypeError:
        # orjson refuses lone surrogates; the standard library writes them as escapes.
        return json.dumps(event)


_JSON = structlog.processors.JSONRenderer(serializer=_to_json)


# The processors that `configure_logging` has set if lines are JSON; None in development.
_processors: list[Processor] | None = None


class _Formatter(ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg) if isinstance(record, PreformattedRecord) else super().format(record)


def _take_over_standard_logging(level: str, handlers: list[logging.Handler]) -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        if isinstance(handler.formatter, ProcessorFormatter):
            handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name, quiet_level in _QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(max(quiet_level, root.level))


def _file_handler(
    file: Path, shared: list[Processor], max_bytes: int, backups: int
) -> logging.Handler:
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = PrivateRotatingFileHandler(
        file, maxBytes=max_bytes, backupCount=backups, encoding="utf-8"
    )
    handler.setFormatter(_formatter(shared, pretty=False))
    return handler
