"""A PostgreSQL that stands still: it keeps its connections, takes new ones and says nothing."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from persistence.embedded.server import EmbeddedPostgres


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    """Every process of the server is stopped inside, and goes on afterwards."""
    postmaster = postgres.postmaster_pid
    # The postmaster first: afterwards it starts no others.
    _signal(postmaster, signal.SIGSTOP)
    family = [postmaster, *_children(postmaster)]
    for process in family:
        _signal(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in family:
            _signal(process, signal.SIGCONT)


def _children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in tasks.read_text().split()]


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
