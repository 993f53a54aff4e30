"""Logging handlers for preformatted lines, and the private log file."""

import asyncio
import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from threading import get_ident
from typing import Any


class PreformattedRecord(logging.LogRecord):
    """A log record whose message is the complete line.

    It has only the attributes that handlers read, since a full LogRecord is slow to create.
    """

    args = exc_info = exc_text = stack_info = None

    def __init__(self, name: str, level: int, line: str) -> None:
        self.name, self.levelno, self.msg = name, level, line

    @property
    def levelname(self) -> str:  # type: ignore[override]
        return logging.getLevelName(self.levelno)


class PreformattedLogger:
    """Pass complete lines to standard logging, without its search for the calling function."""

    def __init__(self, name: str = "root") -> None:
        self.name = name
        self._logger = logging.getLogger(name)

    def debug(self, line: str) -> None:
        self._write(logging.DEBUG, line)

    def info(self, line: str) -> None:
        self._write(logging.INFO, line)

    def warning(self, line: str) -> None:
        self._write(logging.WARNING, line)

    def error(self, line: str) -> None:
        self._write(logging.ERROR, line)

    def critical(self, line: str) -> None:
        self._write(logging.CRITICAL, line)

    def _write(self, level: int, line: str) -> None:
        self._logger.handle(PreformattedRecord(self.name, level, line))


class BufferedStreamHandler(logging.StreamHandler[Any]):
    """Write preformatted info lines together, at the end of the event loop's current iteration.

    Every other record, and every record outside an event loop, is written at once, after the
    buffered lines.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._buffer: list[str] = []
        # The loop and the thread that will flush the buffer.
        self._flushing_loop: asyncio.AbstractEventLoop | None = None
        self._flushing_thread = 0

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit the record. Logging filters are not applied; this service has none."""
        if self.lock is not None:
            with self.lock:
                self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        if not isinstance(record, PreformattedRecord) or record.levelno > logging.INFO:
            self._write_buffer()
            super().emit(record)
            return
        self._buffer.append(record.msg)
        loop = self._flushing_loop
        if loop is not None and loop.is_running() and self._flushing_thread == get_ident():
            return
        try:
            self._flushing_loop = asyncio.get_running_loop()
        except RuntimeError:
            # In a worker thread, or in a command without an event loop.
            self._write_buffer()
            return
        self._flushing_thread = get_ident()
        self._flushing_loop.call_soon(self.flush)

    def flush(self) -> None:
        self.acquire()
        try:
            self._write_buffer()
        finally:
            self.release()

    def _write_buffer(self) -> None:
        lines, self._buffer, self._flushing_loop = self._buffer, [], None
        try:
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            self.stream.flush()
        except Exception:  # noqa: BLE001 - as all handlers of the standard library do
            self.handleError(PreformattedRecord(__name__, logging.INFO, ""))


class PrivateRotatingFileHandler(RotatingFileHandler):
    """Keep the log file readable by its owner only, also after rotation and if it existed."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding, errors=self.errors)
