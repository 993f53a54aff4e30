"""A PostgreSQL server that stops responding but keeps accepting connections."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from persistence.embedded.server import EmbeddedPostgres


@contextmanager
def frozen(postgres: EmbeddedPostgres) -> Iterator[None]:
    """Stop all processes of the server by SIGSTOP; continue them on exit."""
    postmaster = postgres.postmaster_pid
    # The postmaster first, so that it starts no further processes.
    _signal(postmaster, signal.SIGSTOP)
    pids = [postmaster, *_children(postmaster)]
    for process in pids:
        _signal(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in pids:
            _signal(process, signal.SIGCONT)


def _children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in tasks.read_text().split()]


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
