"""Memory of freed large blocks, measured in a separate process."""

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
    line = next(line for line in open("/proc/self/status") if line.startswith("VmRSS:"))
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


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is specific to glibc.")
def test_memory_of_hashes_in_several_threads_is_returned():
    done = subprocess.run(
        [sys.executable, "-c", HASHES],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    assert float(done.stdout) < 10
