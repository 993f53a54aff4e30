"""Memory that is freed and goes back to the system."""

import ctypes
import sys
from contextlib import suppress

# M_MMAP_THRESHOLD of glibc's malloc.h.
MMAP_THRESHOLD = -3
LARGE_BYTES = 1 << 20


def return_freed_blocks_to_system() -> None:
    """Have glibc return blocks of a megabyte or more to the system when they are freed.

    Otherwise it raises that bound to the size of the largest block that was freed, and each thread
    that has computed an Argon2 hash keeps the 19 MB of it. Does nothing with another C library.
    """
    if sys.platform != "linux":
        return
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LARGE_BYTES)
