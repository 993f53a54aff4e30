"""Memory of large blocks goes back to the system, in a process of the test's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HASHES = """
import sys, threading
from argon2 import PasswordHasher
from resilience.memory import return_freed_blocks_to_system

def resident_mb():
    line = next(one for one in open("/proc/self/status") if one.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024

return_freed_blocks_to_system()
hasher = PasswordHasher(memory_cost=19_456, time_cost=1, parallelism=1)
before = resident_mb()
for _ in range(4):
    threads = [threading.Thread(target=hasher.hash, args=(b"x" * 12,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(resident_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Only glibc keeps what is freed.")
def test_hashes_in_several_threads_leave_no_memory_behind():
    done = subprocess.run(
        [sys.executable, "-c", HASHES],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    assert float(done.stdout) < 10
