"""Signals at the fork of a worker."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_processes import PATIENCE_SECONDS

PROJECT = Path(__file__).parents[3]
# The hook runs in the child before `os.fork` returns there.
PROGRAM = """
import os, signal, sys
from multiprocessing.connection import Pipe
from web.server.supervisor import WorkerFailed, Workers

number = signal.Signals[sys.argv[1]]
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), number))

def serve(pipes):
    pipes.parent.send_bytes(b"ready")
    pipes.parent.poll(None)

def announce():
    print("all workers serve")
    os.kill(os.getpid(), signal.SIGTERM)

supervisor, theirs = Pipe()
workers = Workers(serve, count=1, supervisor=theirs)
try:
    workers.run(announce, stop_seconds=5)
except WorkerFailed:
    print([worker.status for worker in workers._workers])
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", -15), ("SIGINT", -2)])
def test_signal_during_the_fork_ends_the_worker(name, status):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )

    assert done.stdout == f"[{status}]\nset()\n"


def test_other_signal_during_the_fork_does_not_end_it():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "SIGCHLD"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )

    assert done.stdout == "all workers serve\nset()\n"
