"""Lines of the log on their way out: to the screen, or to a file."""

import asyncio
import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from threading import get_ident
from typing import Any


class PreformattedRecord(logging.LogRecord):
    """A message that is the whole line already: of a record, only what handlers look at."""

    args = exc_info = exc_text = stack_info = None

    def __init__(self, name: str, level: int, line: str) -> None:
        self.name, self.levelno, self.msg = name, level, line

    @property
    def levelname(self) -> str:  # type: ignore[override]
        return logging.getLevelName(self.levelno)


class PreformattedLogger:
    """Hands lines to the standard library without its search for the caller."""

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
    """What is a line already, and no warning, waits for the others of the same turn of the loop."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._waiting: list[str] = []
        self._written_by: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the library's filters, of which there are none."""
        if self.lock is not None:
            with self.lock:
                self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        if not isinstance(record, PreformattedRecord) or record.levelno > logging.INFO:
            self._write_waiting()
            super().emit(record)
            return
        self._waiting.append(record.msg)
        loop = self._written_by
        if loop is not None and loop.is_running() and self._thread == get_ident():
            return
        try:
            self._written_by = asyncio.get_running_loop()
        except RuntimeError:
            # A thread, or a command that has no loop.
            self._write_waiting()
            return
        self._thread = get_ident()
        self._written_by.call_soon(self.flush)

    def flush(self) -> None:
        self.acquire()
        try:
            self._write_waiting()
        finally:
            self.release()

    def _write_waiting(self) -> None:
        lines, self._waiting, self._written_by = self._waiting, [], None
        try:
            if lines:
                self.stream.write("\n".join(lines) + "\n")
            self.stream.flush()
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(PreformattedRecord(__name__, logging.INFO, ""))


class PrivateRotatingFileHandler(RotatingFileHandler):
    """Readable by its owner alone, also after a rotation and when it was there before."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding, errors=self.errors)
