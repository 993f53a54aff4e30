"""Restoring the logging configuration of the process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from observability.logging_setup import configure_logging


@contextmanager
def restored_logging() -> Iterator[None]:
    """Undo `configure_logging` on exit."""
    root, settings = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        # The initial state of the process.
        configure_logging(level="INFO", environment="development")
        structlog.configure(**settings)
        for handler in [item for item in root.handlers if item not in handlers]:
            root.removeHandler(handler)
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
