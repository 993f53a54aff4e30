"""Work on files: in a thread, and what the disk refuses said in our words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

import structlog
from anyio import to_thread

from domain.errors import StorageUnavailable

log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")


async def on_disk(event: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `call`. Raises StorageUnavailable, logged as `event`."""
    with disk_errors(event):
        return await to_thread.run_sync(partial(call, *args, **kwargs))


@contextmanager
def disk_errors(event: str) -> Iterator[None]:
    """Raises StorageUnavailable for any OSError, logged as `event`."""
    try:
        yield
    except OSError as error:
        log.warning(event, error=type(error).__name__, errno=error.errno)
        raise StorageUnavailable from error
