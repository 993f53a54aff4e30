"""The logging of the process, put back as it was."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from observability.logging_setup import configure_logging


@contextmanager
def restored_logging() -> Iterator[None]:
    """Undoes what `configure_logging` did inside."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        # As it is before anybody configures it.
        configure_logging(level="INFO", environment="development")
        structlog.reset_defaults()
        for handler in [item for item in root.handlers if item not in handlers]:
            root.removeHandler(handler)
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
