"""One log for everything: our events and the standard library's, as JSON lines or for people."""

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
# Statements and their parameters are personal data; requests have their own line.
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
    """Write to standard error, and as JSON to `file`. May be called again; the last call counts."""
    global _processors  # noqa: PLW0603 - the configuration of the log is the process's own
    shared = _shared_processors()
    _tracebacks.clear()
    pretty = environment == "development"
    # Where every output is JSON, a line is made once, before it is handed to them.
    last = [ProcessorFormatter.wrap_for_formatter] if pretty else [_in_order, _JSON]
    processors = [drop_repeated, *shared, *last]
    _processors = None if pretty else processors
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory() if pretty else PreformattedLogger,
        cache_logger_on_first_use=False,
    )
    # Not shown, and looked up for every line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    screen = BufferedStreamHandler(sys.stderr)
    screen.setFormatter(_formatter(shared, pretty=pretty))
    handlers: list[logging.Handler] = [screen]
    if file is not None:
        handlers.append(_file_handler(file, shared, file_max_bytes, file_backups))
    _take_over_standard_logging(level, handlers)
    # A record that cannot be formatted would be printed with its raw arguments.
    logging.raiseExceptions = environment == "development"


def log_fast(logger: str, event: str, **facts: object) -> None:
    """An event whose fields, one at least, hold nothing that would have to be redacted.

    Where lines are JSON and nobody listens in between, without the way of all other events: these
    are the most frequent ones by far.
    """
    # Tests that listen put something else into the same list.
    if _processors is None or _processors[-1] is not _JSON:
        structlog.get_logger(logger).info(event, **facts)
    elif logging.root.isEnabledFor(logging.INFO):
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        ids = "".join([f'"{name}":"{value}",' for name, value in _context_ids.get().items()])
        line = (
            f'{{"timestamp":"{_second(second)}.{nanoseconds // 1000:06}Z","level":"info",'
            f'"logger":"{logger}","message":"{event}",{ids}{orjson.dumps(facts).decode()[1:]}'
        )
        record = PreformattedRecord(logger, logging.INFO, line)
        for handler in logging.root.handlers:
            handler.handle(record)


class log_context:  # noqa: N801 - used as the function that it would be
    """Inside, every line of the log says what it belongs to: `request_id`, and maybe `trace_id`,
    of letters, digits and `._-`.

    As structlog's contextvars, which walk through all that there are.
    """

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = ids

    def __enter__(self) -> None:
        self._token = _context_ids.set(self._ids)

    def __exit__(self, *_: object) -> None:
        _context_ids.reset(self._token)


def current_request_id() -> str:
    """Empty outside a request."""
    return _context_ids.get().get("request_id", "")


def _merge_bound(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {**_context_ids.get(), **event}


@lru_cache(maxsize=2)
def _second(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def redact_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Processor: fields are redacted, exceptions become scrubbed text, in full once a minute."""
    error = resolve_exc_info(event.pop("exc_info", None), sys.exc_info()[1])
    if event.get("_from_structlog") is False:
        event["event"] = scrub_message(str(event["event"]))
    redacted = redact(event)
    if error is not None:
        is_new = _tracebacks.is_new(error)
        redacted["exception"] = (
            render_exception(error) if is_new else f"{traceback_location(error)}, again"
        )
    return redacted


def _shared_processors() -> list[Processor]:
    return [
        _merge_bound,
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
    final = [ProcessorFormatter.remove_processors_meta, _in_order, renderer]
    return _Formatter(foreign_pre_chain=shared, processors=final)


def _in_order(_logger: object, _method: str, event: EventDict) -> EventDict:
    event["message"] = event.pop("event", "")
    first = {key: event[key] for key in _FIRST_KEYS if key in event}
    return {**first, **event}


def _to_json(event: EventDict, **_options: Any) -> str:
    try:
        return orjson.dumps(event).decode()
    except TypeError:
        # A lone surrogate: orjson refuses it, the standard library writes it as an escape.
        return json.dumps(event)


_JSON = structlog.processors.JSONRenderer(serializer=_to_json)


# Those that `configure_logging` has set where lines are JSON.
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
